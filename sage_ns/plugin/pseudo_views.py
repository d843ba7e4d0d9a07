"""Pseudo views of a training: rendered from the avatar that it starts from, or read from a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from nerfstudio.utils.rich_utils import CONSOLE

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.completion.views import Silence, rendered_views
from sage_ns.capture.enlarged import PictureEnlarger
from sage_ns.capture.images import load_image
from sage_ns.capture.pseudo_views import PseudoView, read_bundle
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.shot import Shot
from sage_ns.errors import CaptureError
from sage_ns.image.super_resolution import NONE as AS_THEY_ARE
from sage_ns.image.super_resolution import open_upscaler
from sage_ns.raster import PinholeCamera
from sage_ns.system.console import escape
from sage_ns.training.config import SelfSuperviseConfig
from sage_ns.training.phase import ShotSource
from sage_ns.training.pseudo_shots import WithPseudoViews

if TYPE_CHECKING:
    from sage_ns.plugin.datamanager import CaptureDatamanager
    from sage_ns.plugin.pipeline import SagePipelineConfig

NONE, START = "none", "start"

Provider = Callable[[SelfSuperviseConfig, CaptureRecord, Avatar, Sequence[Shot]], list[Shot]]
"""Makes pseudo views from settings, capture, the avatar that training starts from, and the real pictures."""


def _from_start(
    config: SelfSuperviseConfig, record: CaptureRecord, avatar: Avatar, pictures: Sequence[Shot]
) -> list[Shot]:
    return rendered_views(avatar, pictures)


PROVIDERS: Mapping[str, Provider] = {START: _from_start}
"""Providers by name. Every other text is a folder of views."""


def with_pseudo_views(config: SagePipelineConfig, datamanager: CaptureDatamanager, avatar: Avatar) -> ShotSource:
    """Return the training pictures, with the pseudo views that the config names.

    Args:
        config: settings of the pipeline.
        datamanager: source of the real pictures.
        avatar: as training starts from it.

    Raises:
        CaptureError: the folder of the views cannot be used, or there is no real picture with a mask.
    """
    if config.pseudo_views == NONE:
        return datamanager
    pictures = datamanager.registered_views()
    if not pictures:
        raise CaptureError(
            f"--pipeline.pseudo-views {config.pseudo_views}: the canonical moment has no picture with a mask. "
            "Make masks, or give --pipeline.pseudo-views none."
        )
    provider = PROVIDERS.get(config.pseudo_views, _from_folder)
    views = provider(config, datamanager.train_dataset.record, avatar, pictures)
    return WithPseudoViews(datamanager, [view.to(avatar.device) for view in views], config.pseudo_share, config.seed)


def _from_folder(
    config: SelfSuperviseConfig, record: CaptureRecord, avatar: Avatar, pictures: Sequence[Shot]
) -> list[Shot]:
    """Read the views of a folder; they are silent where a real picture shows the head."""
    bundle = read_bundle(Path(config.pseudo_views).expanduser())
    CONSOLE.print(
        f"{len(bundle.views)} pseudo views by {escape(bundle.provider)}, licence: {escape(bundle.licence)}",
        soft_wrap=True,
    )
    silence = Silence(avatar, pictures)
    return [_shot(view, config.pseudo_super_resolution, record, silence) for view in bundle.views]


def _shot(view: PseudoView, super_resolution: str, record: CaptureRecord, silence: Silence) -> Shot:
    frame, factor, background = view.frame, record.downscale_factor, record.background.cpu()
    image, mask = load_image(frame.image_path, frame.mask_path, factor, background)
    believed = view.confidence(factor)
    scale = 1
    if super_resolution != AS_THEY_ARE:
        upscaler = open_upscaler(super_resolution)
        scale = upscaler.scale
        image, mask = PictureEnlarger(upscaler)(image, mask)
        believed = believed.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)
    assert mask is not None, "read_bundle refuses views without masks"
    size = scale / factor
    camera = PinholeCamera.from_opengl(
        torch.from_numpy(frame.camera_to_world).float(),
        *(frame.fx * size, frame.fy * size, frame.cx * size, frame.cy * size, image.shape[1], image.shape[0]),
    ).to(silence.avatar.device)
    return Shot(
        camera,
        image.float() / 255,
        mask.float() / 255,
        weight=view.weight,
        confidence=believed.to(silence.avatar.device) * silence.confidence(camera),
        is_pseudo=True,
    )
