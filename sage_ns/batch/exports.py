"""What sage-batch writes of each trained avatar, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_ns.errors import SageError

if TYPE_CHECKING:
    from sage_ns.plugin.pipeline import SagePipeline
    from sage_ns.plugin.trainer import SageTrainerConfig


def _nothing_to_check(config: SageTrainerConfig, out: Path) -> None:
    pass


@dataclass(frozen=True)
class Export:
    """One kind of export."""

    summary: str
    """description for help texts"""
    write: Callable[[SagePipeline, Path], Path]
    """writes the trained avatar into the folder of its capture, in place of an earlier one, and returns the path"""
    check: Callable[[SageTrainerConfig, Path], None] = _nothing_to_check
    """raises, before any training with this settled config, if the export into this folder cannot succeed"""


def _avatar(pipeline: SagePipeline, folder: Path) -> Path:
    path = folder / "avatar.npz"
    pipeline.model.avatar.save(path)
    return path


def _splats(pipeline: SagePipeline, folder: Path) -> Path:
    from sage_ns.exchange.splat_export import export_splats

    avatar, path = pipeline.model.avatar, folder / "splats" / "canonical.ply"
    export_splats(avatar, avatar.motion.canonical()[None], [path])
    return path


def _mesh(pipeline: SagePipeline, folder: Path) -> Path:
    from sage_ns.exchange.mesh import canonical_surface, write_mesh

    path = folder / "mesh" / "canonical.ply"
    write_mesh(canonical_surface(pipeline.model.canonical, str(folder)), path)
    return path


def _has_field(config: SageTrainerConfig, out: Path) -> None:
    pipeline: Any = config.pipeline
    if not pipeline.model.with_sdf:
        raise SageError(
            f"--export mesh: the method {config.method_name} trains surfels only, without the signed distance field "
            "that a mesh is made of. Leave mesh out, or give --method sage-multiview."
        )


def _web(pipeline: SagePipeline, folder: Path) -> Path:
    from sage_ns.exchange.web.clip import clip_of
    from sage_ns.exchange.web.content import web_content
    from sage_ns.exchange.web.folder import write_folder
    from sage_ns.exchange.web.library import find_library
    from sage_ns.motion.motion import USUAL_FPS

    avatar, path = pipeline.model.avatar, folder / "web"
    content = web_content(avatar, clip_of(avatar, None, USUAL_FPS), avatar.surfels.sh_degree)
    write_folder(path, content, find_library(None, path))
    return path


def _has_library(config: SageTrainerConfig, out: Path) -> None:
    from sage_ns.exchange.web.library import find_library

    find_library(None, out / "web")


EXPORTS: Mapping[str, Export] = {
    "avatar": Export("one file for sage-view, sage-render and Python", _avatar),
    "splats": Export("Gaussian splats of the canonical pose, for SuperSplat and others", _splats),
    "mesh": Export("the surface in the canonical pose", _mesh, _has_field),
    "web": Export("a page with sliders, for any web server", _web, _has_library),
}
"""Exports with the default options of ``sage-export``."""


def describe_exports() -> str:
    """Return names and summaries of all exports, for help texts."""
    return ". ".join(f"{name}: {export.summary}" for name, export in EXPORTS.items())
