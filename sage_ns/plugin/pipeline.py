"""The pipeline: phases of training, and evaluation on held-out moments and held-out cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, cast

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torchvision.utils import save_image

from sage_ns.errors import SageError
from sage_ns.motion.bank import DrivingBank
from sage_ns.plugin.datamanager import CaptureDatamanager
from sage_ns.plugin.model import SageModel
from sage_ns.system.progress import tracked
from sage_ns.training.appearance_consistency import AppearanceSource
from sage_ns.training.reconstruct import Losses, Reconstruct
from sage_ns.training.self_supervise import SelfSupervise
from sage_ns.video.ffmpeg import put_ffmpeg_on_path
from sage_ns.viewer import FrontView, PuppetPanel

Phase = Reconstruct | SelfSupervise


@dataclass
class SagePipelineConfig(VanillaPipelineConfig):
    """Pipeline of all sage methods."""

    _target: type = field(default_factory=lambda: SagePipeline)
    reconstruct_steps: int = 0
    """length of phase 1; 0 = as the preset says (set when training starts)"""
    self_supervise: bool = True
    """phase 2: expressions of a driving bank are drawn and held to what the pictures have shown"""
    driving_bank: Path | None = None
    """motion to teach: a VHAP, LAM or metrical-tracker folder, or an .npz; the capture's own driver, or else made-up
    expressions, where none is given"""
    appearance_rays: int = 2048
    """pixels per step of phase 2 that are held to the canonical appearance; 0 = none"""
    appearance_source: AppearanceSource = "pictures"
    """what is there: looked up in the pictures of the canonical moment, or rendered from the field as in the paper"""
    anchor: float = 1.0
    """weight of the real pictures' losses, which every second step of phase 2 is about; 0 = none, all steps teach"""
    seed: int = 42
    """seed of all that training draws at random (set from --machine.seed)"""


class SagePipeline(VanillaPipeline):
    """Joins capture and avatar; picks the phase by step."""

    config: SagePipelineConfig
    datamanager: CaptureDatamanager

    def __init__(
        self,
        config: SagePipelineConfig,
        device: str,
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        grad_scaler: Any = None,
    ) -> None:
        torch.nn.Module.__init__(self)
        put_ffmpeg_on_path()
        self.config = config
        self.test_mode = test_mode
        self.world_size = world_size
        self.datamanager = cast(
            CaptureDatamanager,
            config.datamanager.setup(
                device=device,
                test_mode=test_mode,
                world_size=world_size,
                local_rank=local_rank,
                training=test_mode == "val",
            ),
        )
        self.datamanager.to(device)
        dataset = self.datamanager.train_dataset
        self._model = config.model.setup(
            scene_box=dataset.scene_box,
            num_train_data=len(dataset),
            metadata=dataset.metadata,
            # Pictures are only looked at where an avatar begins, not where one is loaded.
            views=self.datamanager.canonical_views if test_mode == "val" else None,
            seed=config.seed,
        )
        self.model.to(device)
        self.front_view = FrontView(self.model)
        self.puppet_panel = PuppetPanel(self.model)
        # Read before training starts: a bank that cannot be used is to be known of by then.
        self._bank = self._driving_bank() if config.self_supervise and test_mode == "val" else None
        self._reconstruct = Reconstruct(self.model, self.datamanager, max(config.reconstruct_steps, 1), config.seed)
        self.phase: Phase = self._reconstruct

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool | None = None) -> None:
        """Load a checkpoint, all of it; nerfstudio would leave out in silence what does not match.

        Raises:
            SageError: something is missing or left over.
        """
        try:
            super().load_state_dict(state_dict, strict=True)
        except RuntimeError as error:
            raise SageError(f"The checkpoint is not one of this method and version: {error}") from error

    @property
    def model(self) -> SageModel:
        """The avatar."""
        return cast(SageModel, self._model)

    def get_train_loss_dict(self, step: int) -> tuple[dict[str, Any], Losses, dict[str, Tensor]]:
        """Losses of the phase that ``step`` belongs to."""
        self.phase = self._phase_at(step)
        return self.phase.losses(step)

    def _phase_at(self, step: int) -> Phase:
        teaches = self.config.self_supervise and step >= self.config.reconstruct_steps
        return self._self_supervise if teaches else self._reconstruct

    @cached_property
    def _self_supervise(self) -> SelfSupervise:
        """Phase 2, made when it is first asked for."""
        config = self.config
        assert self._bank is not None
        return SelfSupervise(
            self.model,
            self.datamanager,
            self._reconstruct,
            self._bank,
            config.appearance_rays,
            config.appearance_source,
            config.anchor,
            config.seed,
        )

    def _driving_bank(self) -> DrivingBank:
        sources = [self.config.driving_bank] if self.config.driving_bank is not None else []
        return DrivingBank.for_capture(
            self.datamanager.capture_dir,
            self.model.rig.head_model,
            self.model.motion,
            self.datamanager.train_dataset.record.test_timesteps,
            sources,
            self.config.seed,
        )

    @torch.no_grad()
    def get_average_eval_image_metrics(
        self, step: int | None = None, output_path: Path | None = None, get_std: bool = False
    ) -> dict[str, float]:
        """Self-reenactment on the test split (``psnr``) and novel view on the val split (``novel_view_psnr``).

        Each also over the face region (``..._face``). During training, where only the val split is loaded, its
        figures come under ``novel_view_`` alone.
        """
        self.eval()
        figures: dict[str, float] = {}
        splits: tuple[tuple[Literal["test", "val"], str], ...] = (("test", ""), ("val", "novel_view_"))
        for split, prefix in splits:
            if split == "test" and self.test_mode == "val":
                continue
            pairs = self.datamanager.evaluation_pairs(split)
            if pairs:
                figures |= self._average(pairs, split, prefix, output_path, get_std)
        self.train()
        if not figures:
            CONSOLE.print("[yellow]This capture has neither test nor val images: nothing to evaluate.[/yellow]")
        return figures

    def _average(
        self,
        pairs: list[tuple[Cameras, dict[str, Any]]],
        split: str,
        prefix: str,
        output_path: Path | None,
        get_std: bool,
    ) -> dict[str, float]:
        per_image: dict[str, list[float]] = {}
        if output_path is not None:
            output_path.mkdir(parents=True, exist_ok=True)
        for index, (camera, batch) in enumerate(tracked(pairs, f"Evaluating {split} images")):
            start = perf_counter()
            outputs = self.model.get_outputs_for_camera(camera)
            seconds = perf_counter() - start
            batch = {**batch, "face": self.model.face_pixels(camera)}
            values, images = self.model.get_image_metrics_and_images(outputs, batch)
            if not prefix:
                values |= {"fps": 1.0 / seconds, "num_rays_per_sec": outputs["rgb"][..., 0].numel() / seconds}
            for name, value in values.items():
                per_image.setdefault(prefix + name, []).append(value)
            if output_path is not None:
                for name, image in images.items():
                    save_image(image.permute(2, 0, 1).cpu(), output_path / f"{split}_{name}_{index:04d}.png")
        figures: dict[str, float] = {}
        for name, values in per_image.items():
            samples = torch.tensor(values)
            figures[name] = float(samples.mean())
            if get_std:
                figures[f"{name}_std"] = float(samples.std(correction=0))
        return figures
