"""Pictures and cameras of a capture as nerfstudio's trainer, evaluation, viewer and renderer ask for them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.datamanagers.full_images_datamanager import FullImageDatamanager, FullImageDatamanagerConfig
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track
from torch import Tensor
from tyro.conf import Fixed, Suppress

from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.registration import Registration, moved, spread_views
from sage_ns.capture.shot import Shot
from sage_ns.errors import CaptureError
from sage_ns.image.super_resolution import NONE
from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.plugin.dataset import CaptureDataset, to_float
from sage_ns.plugin.snapshot import SnapshotDataParserConfig, save_snapshot, snapshot_path
from sage_ns.raster import PinholeCamera
from sage_ns.rig import HEAD_MODEL_FILE
from sage_ns.system.console import escape
from sage_ns.system.devices import sent

FLOAT_CACHE_BYTES = 2 << 30
"""Pictures are cached as float32 up to this size, beyond it as uint8 (a quarter of it)."""


def _order_of_epoch(num_images: int, groups: Tensor | None, generator: torch.Generator) -> list[int]:
    """Return the pictures of an epoch: each once, or as many with all groups equally often."""
    order = torch.randperm(num_images, generator=generator)
    if groups is None:
        return order.tolist()
    members = [order[groups[order] == group] for group in groups.unique()]
    drawn: list[int] = []
    rounds = 0
    while len(drawn) < num_images:
        turn = torch.randperm(len(members), generator=generator).tolist()
        drawn += [int(members[group][rounds % len(members[group])]) for group in turn]
        rounds += 1
    return drawn[:num_images]


@dataclass
class CaptureDatamanagerConfig(FullImageDatamanagerConfig):
    """Whole pictures of a FLAME-tracked capture."""

    _target: type = field(default_factory=lambda: CaptureDatamanager)
    run_dir: Suppress[Fixed[Path | None]] = None
    """folder of the run, where what outlives the capture is kept (set when training starts)"""
    registered_views: int = 24
    """with training pictures of several moments: number of pictures that show the canonical head, moved by the skull's
    motion; 0 = only pictures of the canonical moment do"""


class CaptureDatamanager(FullImageDatamanager[CaptureDataset]):
    """Serves whole pictures; which one a step gets is a function of seed and step alone.

    When training starts, cameras, motion, head model and thumbnails are kept in the run's folder, so that
    viewing and rendering go on when the capture's folder is gone.
    """

    config: CaptureDatamanagerConfig

    def __init__(
        self,
        config: CaptureDatamanagerConfig,
        device: torch.device | str = "cpu",
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        training: bool = False,
        **kwargs: Any,
    ) -> None:
        config = deepcopy(config)  # asked for again with another split by ns-render
        dataparser: Any = config.dataparser
        if dataparser.downscale_factor == int(dataparser.downscale_factor):
            dataparser.downscale_factor = int(dataparser.downscale_factor)  # ns-render gives it as a float
        self.capture_dir = Path(config.data or config.dataparser.data)
        # An avatar that was imported has never had a capture.
        self.from_snapshot = isinstance(dataparser, SnapshotDataParserConfig)
        self._epoch: tuple[int, list[int]] | None = None
        self._steady: dict[int, Tensor] = {}
        if not training and not self.from_snapshot:
            dataparser.super_resolution = NONE  # for training alone: needs weights and time, and nothing else shows it
            self._use_what_the_run_kept(config)
        super().__init__(config, device, test_mode, world_size, local_rank, **kwargs)

    def _use_what_the_run_kept(self, config: CaptureDatamanagerConfig) -> None:
        """Point ``config`` to the run's own head model, and to its snapshot if the capture it trained on is gone."""
        snapshot = snapshot_path(config.run_dir) if config.run_dir is not None else None
        if snapshot is None or not snapshot.is_file():
            return
        dataparser: Any = config.dataparser
        if self.capture_dir.absolute() != dataparser.data.absolute():
            # Somebody else drives the avatar; their capture has another numbering of moments and cameras.
            for name in ("canonical_timestep", "timesteps", "num_timesteps", "cameras", "num_cameras", "num_frames"):
                setattr(dataparser, name, None)
            # Nobody trains on it: its head need not turn, and its own files say how its camera stood.
            dataparser.frames = "single" if dataparser.frames == "single" else "multi"
            dataparser.light_axes = "auto"
        elif not self.capture_dir.is_dir():
            CONSOLE.print(
                f"[yellow]The capture {escape(str(self.capture_dir))} is gone; "
                "going on with what the run has kept of it.[/yellow]"
            )
            config.dataparser = SnapshotDataParserConfig(data=snapshot)  # type: ignore[assignment]
            config.data = snapshot
            self.from_snapshot = True
            return
        dataparser.head_model = snapshot.parent / HEAD_MODEL_FILE

    def keep(self, run_dir: Path) -> None:
        """Keep cameras, motion, head model and thumbnails of the capture in ``run_dir``."""
        splits = {"train": self.train_dataparser_outputs}
        for split in ("val", "test"):
            splits[split] = self.dataparser.get_dataparser_outputs(split=split)
        save_snapshot(snapshot_path(run_dir), splits, (to_float(data["image"].cpu()) for data in self.cached_train))

    def _require_pictures(self) -> None:
        if self.from_snapshot:
            raise CaptureError(
                f"The pictures of {self.capture_dir} are needed for this, but the folder is gone. "
                "Put it, or a link to it, back there."
            )

    @cached_property
    def dataset_type(self) -> type[CaptureDataset]:
        """The dataset of all splits."""
        return CaptureDataset

    def _load_images(
        self, split: Literal["train", "eval"], cache_images_device: Literal["cpu", "gpu"]
    ) -> list[dict[str, Tensor]]:
        """Load a split into memory, on the device if it is said to fit there; memory is pinned only for CUDA."""
        self._require_pictures()
        dataset = self.train_dataset if split == "train" else self.eval_dataset
        cameras = dataset.cameras
        float_bytes = int((cameras.width * cameras.height).sum()) * 4 * 4
        image_type = "float32" if float_bytes <= FLOAT_CACHE_BYTES else "uint8"
        on_device = cache_images_device == "gpu" and float_bytes <= FLOAT_CACHE_BYTES
        if split == "train":
            self.train_cameras = cameras.to(self.device)
        loaded = []
        doing = f"{'Enlarging and loading' if dataset.enlarges else 'Loading'} {split} images"
        for index in track(range(len(dataset)), description=doing, transient=True, console=CONSOLE):
            data = dataset.get_data(index, image_type=image_type)
            for name in ("image", "mask", "hidden"):
                if name not in data:
                    continue
                if on_device:
                    data[name] = data[name].to(self.device)
                elif torch.cuda.is_available():
                    data[name] = data[name].pin_memory()
            loaded.append(data)
        return loaded

    def _ready(self, data: dict[str, Any]) -> dict[str, Any]:
        """A copy of cached data, on the device, as floats."""
        return {
            name: to_float(sent(value, self.device)) if isinstance(value, Tensor) else value
            for name, value in data.items()
        }

    def get_train_rays_per_batch(self) -> int:
        """Pixels of a training picture; known without loading any (the viewer asks, even when the capture is gone)."""
        cameras = self.train_dataset.cameras
        return int(cameras.width[0] * cameras.height[0])

    def next_train(self, step: int) -> tuple[Cameras, dict[str, Any]]:
        """The picture of ``step``: an epoch shows all pictures once, or all groups equally often, in a drawn order."""
        index = self._index_at(step)
        data = self._ready(self.cached_train[index])
        camera = self.train_cameras[index : index + 1]
        camera.metadata = {**(camera.metadata or {}), "cam_idx": index}
        return camera, data

    def _index_at(self, step: int) -> int:
        epoch, position = divmod(step, len(self.train_dataset))
        if self._epoch is None or self._epoch[0] != epoch:
            generator = torch.Generator().manual_seed(self.config.train_cameras_sampling_seed * 1_000_003 + epoch)
            self._epoch = epoch, _order_of_epoch(len(self.train_dataset), self._groups, generator)
        return self._epoch[1][position]

    @cached_property
    def _groups(self) -> Tensor | None:
        """Group of each training picture; None if all are shown equally often."""
        metadata = self.train_dataset.cameras.metadata or {}
        return metadata["group"][:, 0].cpu() if "group" in metadata else None

    def next_eval_image(self, step: int) -> tuple[Cameras, dict[str, Any]]:
        """A held-out picture, a different one from step to step."""
        index = (step // 100) % len(self.eval_dataset)
        camera = self.eval_dataset.cameras[index : index + 1].to(self.device)
        return camera, self._ready(self.cached_eval[index])

    def evaluation_pairs(self, split: Literal["val", "test"]) -> list[tuple[Cameras, dict[str, Any]]]:
        """Cameras and pictures of a held-out split; empty where the capture has none.

        Raises:
            CaptureError: the capture is gone.
        """
        self._require_pictures()
        outputs: DataparserOutputs = self.dataparser.get_dataparser_outputs(split=split)
        if CaptureRecord.of(outputs.metadata).split_source != split:  # borrowed from another split
            return []
        if split == self.test_split:
            dataset, cached = self.eval_dataset, self.cached_eval
        else:
            dataset = CaptureDataset(outputs)
            cached = [dataset.get_data(index) for index in range(len(dataset))]
        return self._pairs(dataset, cached)

    @cached_property
    def fixed_indices_eval_dataloader(self) -> list[tuple[Cameras, dict[str, Any]]]:
        """Cameras and pictures of the split that this was set up for.

        Not a plain property as nerfstudio's: the viewer evaluates those when it starts, which would load all pictures.
        """
        return self._pairs(self.eval_dataset, self.cached_eval)

    def training_pairs(self) -> list[tuple[Cameras, dict[str, Any]]]:
        """Cameras and pictures of the training split, in its order."""
        return self._pairs(self.train_dataset, self.cached_train)

    def _pairs(self, dataset: CaptureDataset, cached: list[dict[str, Any]]) -> list[tuple[Cameras, dict[str, Any]]]:
        cameras = deepcopy(dataset.cameras).to(self.device)
        return [(cameras[index : index + 1], self._ready(data)) for index, data in enumerate(cached)]

    # ---- shots for the phases of training (sage_ns.training.phase.ShotSource) -------------------------------------

    @cached_property
    def _pinholes(self) -> list[PinholeCamera]:
        """Training cameras as the rasteriser takes them, on the device: made once, so that no step waits for one."""
        cameras = self.train_dataset.cameras
        return [pinhole_camera(cameras[index : index + 1]).to(self.device) for index in range(len(cameras))]

    @cached_property
    def _tracked_motion(self) -> list[Tensor | None]:
        """Motion vector of each training picture, on the device; None at the canonical timestep."""
        metadata = self.train_dataset.cameras.metadata
        assert metadata is not None
        canonical = self.train_dataset.record.canonical_timestep
        return [
            None if timestep == canonical else motion.to(self.device)
            for timestep, motion in zip(metadata["timestep"][:, 0].tolist(), metadata["motion"], strict=True)
        ]

    @cached_property
    def _rows(self) -> list[int]:
        """Row of each training picture's moment in the recorded motion."""
        metadata, timesteps = self.train_dataset.cameras.metadata, self.train_dataset.record.timesteps
        assert metadata is not None
        return torch.searchsorted(timesteps.cpu(), metadata["timestep"][:, 0].cpu()).tolist()

    @property
    def cameras(self) -> list[PinholeCamera]:
        """Cameras of all training pictures, on the device."""
        return self._pinholes

    @property
    def num_moments(self) -> int:
        """Number of timesteps among the training pictures."""
        return len(self.train_dataset.record.train_timesteps)

    def shot(self, step: int) -> Shot:
        """The training picture of ``step``, on the device; the same one as of :meth:`next_train`."""
        index = self._index_at(step)
        data = self._ready(self.cached_train[index])
        return Shot(
            self._pinholes[index],
            data["image"],
            data.get("mask"),
            self._tracked_motion[index],
            self._rows[index],
            index=index,
            confidence=None if "hidden" not in data else 1 - data["hidden"],
        )

    def steady(self, step: int) -> Tensor:
        """1 where the picture of ``step`` shows what moves with the skull, else 0 [h, w, 1], on the device."""
        index = self._index_at(step)
        steady, cached = self._steady_pixels(index).float(), self.cached_train[index]
        if "hidden" not in cached:
            return steady
        return torch.minimum(steady, 1 - to_float(sent(cached["hidden"], self.device)))

    def _steady_pixels(self, index: int) -> Tensor:
        """`Registration.steady_pixels` of a training picture, uint8 on the device; computed at the first request."""
        if index not in self._steady:
            params = self.train_dataset.record.flame_params[self._rows[index]]
            pixels = self._registration.steady_pixels(self._pinholes[index].to("cpu"), params)
            self._steady[index] = pixels.to(self.device, torch.uint8)
        return self._steady[index]

    @cached_property
    def _registration(self) -> Registration:
        record = self.train_dataset.record
        return Registration(record.head_model, record.flame_params[record.canonical_row])

    def _canonical_shots(self) -> list[Shot]:
        """Pictures of the canonical timestep, on the CPU; those without a mask are left out."""
        canonical = [index for index, motion in enumerate(self._tracked_motion) if motion is None]
        return [self._shot_on_cpu(index) for index in canonical if "mask" in self.cached_train[index]]

    def _shot_on_cpu(self, index: int) -> Shot:
        """Return a picture that has a mask, without its motion."""
        cached = self.cached_train[index]
        image, mask = (to_float(cached[name].cpu()) for name in ("image", "mask"))
        counts = None if "hidden" not in cached else 1 - to_float(cached["hidden"].cpu())
        return Shot(self._pinholes[index].to("cpu"), image, mask, steady=counts, confidence=counts)

    def registered_views(self) -> list[Shot]:
        """Pictures that show the canonical head, on the CPU: those of its moment, then those of others, registered.

        Pictures of other moments are spread over the directions that they show the head from. Those without a mask are
        left out.
        """
        views, most = self._canonical_shots(), self.config.registered_views
        masked = [index for index, motion in enumerate(self._tracked_motion) if motion is not None]
        others = [index for index in masked if "mask" in self.cached_train[index]]
        if len(views) >= most or not others:
            return views
        record, registration = self.train_dataset.record, self._registration
        motions = registration.motion(record.flame_params[torch.tensor([self._rows[index] for index in others])])
        cameras = [moved(self._pinholes[i].to("cpu"), motion) for i, motion in zip(others, motions, strict=True)]
        centers = torch.stack([camera.center for camera in [view.camera for view in views] + cameras])
        for chosen in spread_views(centers, registration.head_center(), max(len(views), 1), most)[len(views) :]:
            index = others[chosen - len(views)]
            params, steady = record.flame_params[self._rows[index]], self._steady_pixels(index).cpu().float()
            views.append(registration.view(self._shot_on_cpu(index), params, steady))
        return views
