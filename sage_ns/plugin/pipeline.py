"""The pipeline: runs the phases of training, and evaluates on held-out moments and held-out cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, cast

import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.pipelines.base_pipeline import VanillaPipeline, VanillaPipelineConfig
from nerfstudio.utils.rich_utils import CONSOLE
from torch import Tensor
from torchvision.utils import save_image
from tyro.conf import Fixed, Suppress

from sage_ns.errors import SageError
from sage_ns.motion.bank import DrivingBank
from sage_ns.plugin.checkpoint_checks import check_pipeline
from sage_ns.plugin.checkpoints import Checkpoint, CheckpointError, load_checkpoint, newest_checkpoint
from sage_ns.plugin.datamanager import CaptureDatamanager
from sage_ns.plugin.model import RAW_TERMS, TERMS_WEIGHT, SageModel
from sage_ns.plugin.pseudo_views import with_pseudo_views
from sage_ns.plugin.trust import note_whom_to_trust
from sage_ns.system.progress import tracked
from sage_ns.training.config import SelfSuperviseConfig
from sage_ns.training.phases import Ingredients, build_schedule
from sage_ns.training.picture_fit import PictureFit
from sage_ns.training.schedule import PhaseSteps, Schedule
from sage_ns.training.self_supervise import SelfSupervise
from sage_ns.video.ffmpeg import put_ffmpeg_on_path
from sage_ns.viewer import FrontView, PuppetPanel


@dataclass
class SagePipelineConfig(SelfSuperviseConfig, VanillaPipelineConfig):
    """Pipeline of all sage methods."""

    _target: type = field(default_factory=lambda: SagePipeline)
    steps: PhaseSteps = field(default_factory=PhaseSteps)
    """length of each phase"""
    seed: Suppress[Fixed[int]] = 42
    """random seed of the training; the trainer copies --machine.seed to it, and no option sets it"""


class SagePipeline(VanillaPipeline):
    """Connects the capture with the avatar and trains by a schedule of phases."""

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
        if test_mode != "val":
            note_whom_to_trust()
            _check_newest_checkpoint(config.datamanager)
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
            # Only a new avatar needs pictures; a loaded one does not.
            registered_views=self.datamanager.registered_views if test_mode == "val" else None,
            seed=config.seed,
        )
        self.model.to(device)
        self.front_view = FrontView(self.model)
        self.puppet_panel = PuppetPanel(self.model)
        # Built now: a driving bank that cannot be used is refused before the long work starts.
        self.schedule: Schedule | None = self._build_schedule() if test_mode == "val" else None

    def load_checked(self, checkpoint: Checkpoint) -> None:
        """Load a checkpoint whose arrays have been checked.

        Raises:
            CheckpointError: the checkpoint is from another method or version; names its file.
        """
        try:
            self.load_pipeline(checkpoint.content["pipeline"], checkpoint.header.step)
        except SageError as error:
            raise CheckpointError(f"{checkpoint.path}: {error}") from error

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool | None = None) -> None:
        """Load a checkpoint completely; nerfstudio would silently skip what does not match.

        Raises:
            CheckpointError: entries are missing, left over, of the wrong shape, or out of range.
        """
        check_pipeline(state_dict, "The checkpoint", CheckpointError)
        try:
            super().load_state_dict(state_dict, strict=True)
        except RuntimeError as error:
            raise CheckpointError(f"The checkpoint is from another method or version: {str(error)[:1000]}") from error

    @property
    def model(self) -> SageModel:
        """The avatar."""
        return cast(SageModel, self._model)

    def get_train_loss_dict(self, step: int) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
        """Return outputs, weighted losses and metrics of ``step``."""
        assert self.schedule is not None, "the pipeline was not set up to train"
        taken = self.schedule.step(step)
        outputs = {"rgb": taken.rendered, RAW_TERMS: taken.terms, TERMS_WEIGHT: taken.weight}
        return outputs, self.model.get_loss_dict(outputs, {}), {"psnr": taken.psnr}

    def _build_schedule(self) -> Schedule:
        config, learner = self.config, self.model.learner
        steps = {name: length for name, length in config.steps.by_name().items() if length}
        shots = with_pseudo_views(config, self.datamanager, learner.avatar)
        fit = PictureFit(learner, shots, config.seed)
        bank = self.driving_bank() if SelfSupervise.name in steps else None
        ingredients = Ingredients(learner, shots, fit, bank, config, config.seed)
        return build_schedule(steps, ingredients)

    def driving_bank(self) -> DrivingBank:
        """Load or generate the expressions of phase 2, without the capture's test moments, and print their sources."""
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
        """Return mean metrics: self-reenactment on the test split (``psnr``), novel view on val (``novel_view_psnr``).

        Each metric also exists for the face region (``..._face``). During training only the val split is loaded;
        then all names start with ``novel_view_``.
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
        with tracked(pairs, f"Evaluating {split} images") as shown:
            for index, (camera, batch) in enumerate(shown):
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


def _check_newest_checkpoint(datamanager: Any) -> None:
    """Check the checkpoint that nerfstudio's commands load next: they would end with a stack trace.

    Raises:
        CheckpointError: it cannot be used; names the newest good one.
    """
    newest = None if datamanager.run_dir is None else newest_checkpoint(datamanager.run_dir / "nerfstudio_models")
    if newest is not None:
        load_checkpoint(newest)
