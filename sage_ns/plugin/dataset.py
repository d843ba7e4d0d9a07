"""The pictures of one split of a capture, as nerfstudio's data manager loads them."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from nerfstudio.data.datasets.base_dataset import InputDataset
from torch import Tensor

from sage_ns.capture.decode import read_header
from sage_ns.capture.enlarged import PictureEnlarger
from sage_ns.capture.images import load_image, load_matte
from sage_ns.capture.record import CaptureRecord
from sage_ns.image.super_resolution import NONE, open_upscaler
from sage_ns.plugin.snapshot import load_thumbnail


class CaptureDataset(InputDataset):
    """Pictures and soft masks of one split, area-downscaled as the dataparser was told."""

    exclude_batch_keys_from_device: ClassVar[list[str]] = []

    @property
    def record(self) -> CaptureRecord:
        """What the dataparser says of the capture besides pictures and cameras."""
        return CaptureRecord.of(self.metadata)

    def get_data(self, image_idx: int, image_type: Literal["uint8", "float32"] = "float32") -> dict[str, Any]:
        """``image`` [h, w, 3] and, where the capture has them, ``mask`` and ``hidden`` [h, w, 1], float 0..1 or uint8.

        ``hidden`` is full where something hides the head (`Frame.hidden_path`).

        Raises:
            CaptureError: the files cannot be read, and there is no thumbnail of them in the run's snapshot.
        """
        image, mask = self._load(image_idx)
        data: dict[str, Any] = {"image_idx": image_idx, "image": image}
        if mask is not None:
            data["mask"] = mask
        if (hidden := self._hidden(image_idx, image.shape[0])) is not None:
            data["hidden"] = hidden
        if image_type == "float32":
            data = {name: to_float(value) for name, value in data.items()}
        return data

    def _load(self, index: int) -> tuple[Tensor, Tensor | None]:
        record = self.record
        if record.thumbnails is not None:  # the capture is gone, but the viewer still asks for pictures
            size = int(self.cameras.width[index]), int(self.cameras.height[index])
            return load_thumbnail(record.thumbnails, self._dataparser_outputs.image_filenames[index], size), None
        loaded = load_image(
            self._dataparser_outputs.image_filenames[index],
            record.mask_filenames[index],
            record.downscale_factor,
            record.background,
        )
        return self._enlarger(*loaded) if self.enlarges else loaded

    def _hidden(self, index: int, height: int) -> Tensor | None:
        """What hides the head in a picture, at the size at which the picture is loaded."""
        record = self.record
        path = record.hidden_filenames[index] if record.hidden_filenames and record.thumbnails is None else None
        if path is None:
            return None
        image = self._dataparser_outputs.image_filenames[index]
        hidden = load_matte(path, read_header(image).size, record.downscale_factor, f"{image}: 'hidden_path'")
        scale = height // hidden.shape[0]
        return hidden.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)

    @property
    def enlarges(self) -> bool:
        """Whether pictures are enlarged when they are loaded."""
        return self.record.super_resolution != NONE

    @cached_property
    def _enlarger(self) -> PictureEnlarger:
        return PictureEnlarger(open_upscaler(self.record.super_resolution))


def to_float(value: Any) -> Any:
    """Return 8-bit levels as floats 0..1; anything else as it is."""
    return value.float() / 255 if isinstance(value, Tensor) and value.dtype == torch.uint8 else value
