"""Save and load a run's snapshot of its capture: cameras, motion, head model, thumbnails.

The run can be viewed and rendered after its capture is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.data.dataparsers.base_dataparser import DataParser, DataParserConfig, DataparserOutputs
from nerfstudio.data.scene_box import SceneBox
from PIL import Image
from torch import Tensor

from sage_ns.capture.record import CaptureRecord
from sage_ns.errors import CaptureError, FlameParamsError
from sage_ns.rig import load_head_model, save_head_model
from sage_ns.system.array_fields import read_npz, write_npz

THUMBNAIL_HEIGHT = 64
"""Pixels; about the size in which the viewer shows the cameras' pictures."""

HEAD_MODEL_FILE = "head_model.npz"
_CAMERA_FIELDS = ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height", "times")
_CAMERA_METADATA = ("timestep", "camera_index", "motion")


def snapshot_path(run_dir: Path) -> Path:
    """Return the path of a run's snapshot of its capture."""
    return run_dir / "capture.npz"


def save_snapshot(
    path: Path, splits: Mapping[str, DataparserOutputs], pictures: Iterable[Float[Tensor, "h w 3"]]
) -> None:
    """Write cameras and motion of all splits to ``path``, and the head model beside it (both without pickle).

    Args:
        path: file to write, see :func:`snapshot_path`.
        splits: dataparser outputs of "train", "val" and "test".
        pictures: pictures of the training split, in its order and in 0..1; stored as thumbnails.
    """
    arrays: dict[str, Any] = {}
    for split, outputs in splits.items():
        for name in _CAMERA_FIELDS:
            arrays[f"{split}/{name}"] = getattr(outputs.cameras, name).cpu().numpy()
        metadata = outputs.cameras.metadata or {}
        for name in _CAMERA_METADATA:
            arrays[f"{split}/metadata/{name}"] = metadata[name].cpu().numpy()
        arrays[f"{split}/image_filenames"] = np.array([str(name) for name in outputs.image_filenames], dtype=np.str_)
        arrays[f"{split}/scene_box"] = outputs.scene_box.aabb.numpy()
        arrays[f"{split}/split_source"] = np.array(CaptureRecord.of(outputs.metadata).split_source)
    shared = CaptureRecord.of(splits["train"].metadata)
    arrays |= shared.arrays()
    arrays["thumbnails"] = np.stack([_thumbnail(picture) for picture in pictures])

    path.parent.mkdir(parents=True, exist_ok=True)
    save_head_model(shared.head_model, path.parent / HEAD_MODEL_FILE)
    write_npz(path, arrays, compress=True)


def _thumbnail(picture: Float[Tensor, "h w 3"]) -> UInt8[np.ndarray, "64 128 3"]:
    height, width = picture.shape[:2]
    size = (THUMBNAIL_HEIGHT, max(1, width * THUMBNAIL_HEIGHT // height))
    small = torch.nn.functional.interpolate(picture.permute(2, 0, 1)[None], size, mode="area")[0].permute(1, 2, 0)
    pixels = (255 * small).round().byte().numpy()[:, : 2 * THUMBNAIL_HEIGHT]
    # Pictures of one capture may differ in shape; a fixed canvas fits all into one array.
    canvas = np.full((THUMBNAIL_HEIGHT, 2 * THUMBNAIL_HEIGHT, 3), 255, dtype=np.uint8)
    canvas[:, : pixels.shape[1]] = pixels
    return canvas


@dataclass
class SnapshotDataParserConfig(DataParserConfig):
    """Read a run's snapshot of its capture."""

    _target: type = field(default_factory=lambda: SnapshotDataParser)
    data: Path = Path()
    """the snapshot file"""
    downscale_factor: int = 1
    """nerfstudio sets this field; it is not used: the stored cameras have the size of the training pictures"""


class SnapshotDataParser(DataParser):
    """Returns cameras, motion and head model like the capture's dataparser, and thumbnails of the training pictures."""

    config: SnapshotDataParserConfig
    includes_time: bool = True

    def _generate_dataparser_outputs(self, split: str = "train", **kwargs: Any) -> DataparserOutputs:
        path = self.config.data
        try:
            arrays = read_npz(path, CaptureError)
        except CaptureError as error:
            raise CaptureError(f"The run's snapshot of its capture cannot be read: {error}") from error
        numbers = {name: torch.from_numpy(arrays[f"{split}/{name}"]) for name in _CAMERA_FIELDS}
        cameras = Cameras(
            **numbers,
            camera_type=CameraType.PERSPECTIVE,
            metadata={name: torch.from_numpy(arrays[f"{split}/metadata/{name}"]) for name in _CAMERA_METADATA},
        )
        head_model = load_head_model(path.parent / HEAD_MODEL_FILE)
        trained = [str(name) for name in arrays["train/image_filenames"]]
        thumbnails = dict(zip(trained, arrays["thumbnails"], strict=True))
        try:
            record = CaptureRecord.from_arrays(arrays, head_model, str(arrays[f"{split}/split_source"]), thumbnails)
        except (CaptureError, FlameParamsError) as error:
            raise CaptureError(f"{path}: {error} The run's snapshot of its capture is damaged.") from error
        return DataparserOutputs(
            image_filenames=[Path(name) for name in arrays[f"{split}/image_filenames"]],
            cameras=cameras,
            scene_box=SceneBox(aabb=torch.from_numpy(arrays[f"{split}/scene_box"])),
            metadata=record.metadata(),
        )


def load_thumbnail(
    thumbnails: Mapping[str, UInt8[np.ndarray, "64 128 3"]], image: Path, size: tuple[int, int]
) -> UInt8[Tensor, "h w 3"]:
    """Return the thumbnail of ``image``, enlarged to ``size`` (width, height).

    Raises:
        CaptureError: there is no thumbnail; only pictures of the training split have one.
    """
    if str(image) not in thumbnails:
        raise CaptureError(f"{image} is needed for this, but its capture is gone. Put the capture's folder back.")
    width, height = size
    shown = thumbnails[str(image)][:, : max(1, width * THUMBNAIL_HEIGHT // height)]
    return torch.from_numpy(np.array(Image.fromarray(shown).resize(size)))
