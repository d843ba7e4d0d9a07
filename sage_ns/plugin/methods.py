"""The methods of ns-train, ablations included; each is a config."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from nerfstudio.configs.base_config import ViewerConfig
from nerfstudio.plugins.types import MethodSpecification

from sage_ns.capture.splits import FramesMode
from sage_ns.errors import SageError, show_as_panels
from sage_ns.plugin.baselines import gaussian_avatars_config
from sage_ns.plugin.datamanager import CaptureDatamanagerConfig
from sage_ns.plugin.dataparser import FlameCaptureDataParserConfig
from sage_ns.plugin.model_config import SageModelConfig
from sage_ns.plugin.monocular_method import monocular_model
from sage_ns.plugin.oneshot_method import ONESHOT_PIPELINE, STEPS_SHARE, oneshot_model
from sage_ns.plugin.optimizers import gaussian_avatars_optimizers, optimizers, paper_optimizers
from sage_ns.plugin.paper_method import PAPER_PHASE_2, paper_model
from sage_ns.plugin.pipeline import SagePipelineConfig
from sage_ns.plugin.trainer import SageTrainerConfig
from sage_ns.training.schedule import PhaseSteps


def _trainer(
    method_name: str,
    model: SageModelConfig,
    steps: PhaseSteps,
    rates: Mapping[str, Any] | None = None,
    pipeline: Mapping[str, Any] | None = None,
    frames: FramesMode = "single",
    preset_share: float = 1.0,
) -> SageTrainerConfig:
    return SageTrainerConfig(
        method_name=method_name,
        preset_share=preset_share,
        pipeline=SagePipelineConfig(
            datamanager=CaptureDatamanagerConfig(dataparser=FlameCaptureDataParserConfig(frames=frames)),
            model=model,
            steps=steps,
            **(pipeline or {}),
        ),
        optimizers=dict(rates or optimizers()),
        steps_per_save=500,
        steps_per_eval_batch=0,
        steps_per_eval_image=500,
        steps_per_eval_all_images=0,
        # A finished training returns to the shell (--viewer.quit-on-train-completion False keeps the viewer open).
        # nerfstudio's default opens the viewer to the whole network.
        viewer=ViewerConfig(websocket_host="127.0.0.1", quit_on_train_completion=True),
        vis="viewer+tensorboard",
    )


sage_multiview = MethodSpecification(
    config=_trainer("sage-multiview", SageModelConfig(), PhaseSteps()),
    description="SAGE head avatar from one timestep of a camera rig.",
)

sage_monocular = MethodSpecification(
    config=_trainer("sage-monocular", monocular_model(), PhaseSteps(), frames="rotation"),
    description="SAGE head avatar from one camera before which the head turns.",
)

sage_oneshot = MethodSpecification(
    config=_trainer(
        "sage-oneshot",
        oneshot_model(),
        PhaseSteps(),
        pipeline=ONESHOT_PIPELINE,
        frames="photo",
        preset_share=STEPS_SHARE,
    ),
    description="SAGE head avatar from one picture; what it does not show is completed.",
)

surfels = MethodSpecification(
    config=_trainer(
        "surfels",
        SageModelConfig(with_sdf=False, correction=False, mouth=False, wrinkles=0.0),
        PhaseSteps(self_supervise=0),
    ),
    description="Ablation: rigged 2D Gaussian surfels trained on images only.",
)

gaussian_avatars = MethodSpecification(
    config=_trainer(
        "gaussian-avatars", gaussian_avatars_config(), PhaseSteps(self_supervise=0), gaussian_avatars_optimizers()
    ),
    description="Baseline: GaussianAvatars' recipe, 3D Gaussians on the rig's triangles with densification.",
)

sage_paper = MethodSpecification(
    config=_trainer("sage-paper", paper_model(), PhaseSteps(), paper_optimizers(), PAPER_PHASE_2),
    description="The algorithm of the SAGE paper as written, without this project's departures from it.",
)

_SPECIFICATIONS = (sage_multiview, sage_monocular, sage_oneshot, surfels, gaussian_avatars, sage_paper)
METHODS = {str(spec.config.method_name): cast(SageTrainerConfig, spec.config) for spec in _SPECIFICATIONS}

# nerfstudio's commands import this module first.
show_as_panels()


def configured(
    method: str,
    data: str | Path,
    head_model: str | Path | None = None,
    preset: str = "auto",
    overrides: Mapping[str, Any] | None = None,
) -> SageTrainerConfig:
    """Return a method's config with some fields set. The files in ``configs/`` call this function.

    Args:
        method: name of a method of ns-train.
        data: capture folder.
        head_model: head model file; None: the one found near the capture.
        preset: auto, paper or small, see :class:`sage_ns.plugin.trainer.SageTrainerConfig`.
        overrides: values by dotted field name, e.g. ``{"pipeline.model.sh_degree": 2}``.

    Raises:
        SageError: there is no such method or field.
    """
    if method not in METHODS:
        raise SageError(f"There is no method '{method}'. Methods: {', '.join(sorted(METHODS))}.")
    config = deepcopy(METHODS[method])
    settings = {"preset": preset, "pipeline.datamanager.data": Path(data)} | dict(overrides or {})
    if head_model is not None:
        settings["pipeline.datamanager.dataparser.head_model"] = Path(head_model)
    for name, value in settings.items():
        *path, last = name.split(".")
        holder: Any = config
        for part in path:
            holder = holder.get(part) if isinstance(holder, dict) else getattr(holder, part, None)
        if isinstance(holder, dict) and last in holder:
            holder[last] = value
        elif hasattr(holder, last):
            setattr(holder, last, value)
        else:
            raise SageError(f"The config of '{method}' has no field '{name}'. Give the dotted name of a setting.")
    return config
