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

from sage_ns.capture.camera_checks import FARTHEST_POSITION, camera_to_world
from sage_ns.capture.record import CaptureRecord
from sage_ns.errors import CaptureError, FlameParamsError
from sage_ns.rig import HEAD_MODEL_FILE, load_head_model, save_head_model
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz

THUMBNAIL_HEIGHT = 64
"""Pixels; about the size in which the viewer shows the cameras' pictures."""

_LARGEST_PICTURE = 1 << 15
"""Largest width and height of a camera's picture in pixels."""
_DAMAGED = "The run's snapshot of its capture is damaged."
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
        arrays = read_npz(path, CaptureError)
        read = ArrayFields(str(path), arrays, CaptureError, _DAMAGED)
        names = _file_names(read, f"{split}/image_filenames")
        thumbnails = _thumbnails(read)
        split_source = read.text(f"{split}/split_source")
        head_model = load_head_model(path.parent / HEAD_MODEL_FILE)
        try:
            record = CaptureRecord.from_arrays(arrays, head_model, split_source, thumbnails)
        except (CaptureError, FlameParamsError) as error:
            raise CaptureError(f"{path}: {error} {_DAMAGED}") from error
        cameras = _cameras(read, split, len(names))
        timesteps = torch.unique(cameras.metadata["timestep"])  # type: ignore[index]
        if not bool(torch.isin(timesteps, record.timesteps).all()):
            raise read.fail(f"{split}/metadata/timestep", str(timesteps.tolist()), "timesteps of the motion")
        return DataparserOutputs(
            image_filenames=[Path(name) for name in names],
            cameras=cameras,
            scene_box=SceneBox(aabb=_scene_box(read, split)),
            metadata=record.metadata(),
        )


def _file_names(read: ArrayFields, key: str) -> list[str]:
    names = [str(name) for name in read.strings(key, f"number_of_{key}")]
    if not names:
        raise read.fail(key, "no pictures", "at least one")
    return names


def _cameras(read: ArrayFields, split: str, num: int) -> Cameras:
    """Return the cameras of a split after checks of every number: nerfstudio and the rasteriser make none."""
    poses = read.floats(f"{split}/camera_to_worlds", f"{num} 3 4")
    for pose in poses:
        camera_to_world(pose.numpy(), read.source, f"{split}/camera_to_worlds")
    numbers = {name: read.floats(f"{split}/{name}", f"{num} 1") for name in ("fx", "fy", "cx", "cy", "times")}
    sizes = {name: read.indices(f"{split}/{name}", f"{num} 1") for name in ("width", "height")}
    ranges = {"fx": (1e-3, 1e6), "fy": (1e-3, 1e6), "cx": (-1e6, 1e6), "cy": (-1e6, 1e6), "times": (0, 1)}
    for name, values in (numbers | sizes).items():
        low, high = ranges.get(name, (1, _LARGEST_PICTURE))
        if not bool(((values >= low) & (values <= high)).all()):
            found = f"values in {float(values.min()):g}..{float(values.max()):g}"
            raise read.fail(f"{split}/{name}", found, f"values in {low:g}..{high:g}")
    metadata = {name: read.indices(f"{split}/metadata/{name}", f"{num} 1") for name in ("timestep", "camera_index")}
    num_coefficients = read.floats("motion", "num_timesteps num_coefficients").shape[1]
    metadata["motion"] = read.floats(f"{split}/metadata/motion", f"{num} {num_coefficients}")
    read.check_magnitude(f"{split}/metadata/motion", metadata["motion"], 1e4)
    return Cameras(
        camera_to_worlds=poses, **numbers, **sizes, camera_type=CameraType.PERSPECTIVE, metadata=metadata
    )  # fmt: skip


def _thumbnails(read: ArrayFields) -> dict[str, UInt8[np.ndarray, "64 128 3"]]:
    names = _file_names(read, "train/image_filenames")
    pictures = read.pixels("thumbnails", f"{len(names)} {THUMBNAIL_HEIGHT} {2 * THUMBNAIL_HEIGHT} 3")
    return dict(zip(names, pictures, strict=True))


def _scene_box(read: ArrayFields, split: str) -> Float[Tensor, "2 3"]:
    box = read.floats(f"{split}/scene_box", "2 3")
    read.check_magnitude(f"{split}/scene_box", box, FARTHEST_POSITION)
    if not bool((box[0] < box[1]).all()):
        raise read.fail(f"{split}/scene_box", str(box.tolist()), "a lower corner, then an upper one")
    return box


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
