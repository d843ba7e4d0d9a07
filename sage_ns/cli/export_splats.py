"""``sage-export splats``: the avatar as Gaussian splats of the world, for any viewer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from rich.markup import escape
from tyro.conf import arg

from sage_ns.cli.export_moments import choose_moments, refuse_existing
from sage_ns.cli.options import MOTION_FILES

if TYPE_CHECKING:
    from sage_ns.exchange.splats import Splats

SplatFormat = Literal["2dgs", "3dgs", "gltf"]


@dataclass
class ExportSplats:
    """Write the avatar as Gaussian splats, one file per moment, for SuperSplat and other programs.

    In the canonical pose (canonical.ply), or with --motion or --timesteps posed (posed_00012.ply): corrected, with
    mouth and wrinkles. What depends on where the camera is cannot be written: the inside of the head is not dark.
    """

    load_config: Path
    """config.yml of a trained avatar, or an avatar file (.npz)"""
    output_dir: Path
    """folder to write into"""
    format: SplatFormat = "3dgs"
    """3dgs: PLY that every program reads, surfels as thin ellipsoids. 2dgs: PLY of discs, for programs that know them.
    gltf: .glb with KHR_gaussian_splatting, thin ellipsoids too"""
    motion: Annotated[Path | None, arg(help=f"motion to pose by: {MOTION_FILES}")] = None
    timesteps: tuple[int, ...] = ()
    """which moments: rows of --motion (by default all), or else timesteps of the avatar's own capture"""
    axes: Literal["viewers", "world"] = "viewers"
    """of a PLY. viewers: y down, as SuperSplat and the original viewers expect it, so that the head is upright there;
    world: the capture's own, y up. The front is at +z in both; glTF is always y up"""
    overwrite: bool = False
    """replace files that are in the folder already"""

    def run(self, console: Console) -> None:
        """Check everything that can be checked, place the surfels, write, and say what is there."""
        from sage_ns.exchange.splats import splats_of
        from sage_ns.plugin.runs import load_avatar, require_avatar
        from sage_ns.system.progress import tracked

        require_avatar(self.load_config)
        moments = choose_moments(self.timesteps, self.motion)
        moments.tell(console)
        names = [f"posed_{moment:05d}" for moment in moments.chosen] or ["canonical"]
        paths = [self.output_dir / f"{name}{'.glb' if self.format == 'gltf' else '.ply'}" for name in names]
        refuse_existing(paths, self.overwrite)
        avatar = load_avatar(self.load_config)
        poses = moments.motion(avatar) if moments.chosen else avatar.motion.canonical()[None]
        write = _writers(self.axes == "viewers")[self.format]
        count = 0
        for pose, path in tracked(list(zip(poses, paths, strict=True)), "Writing splats"):
            splats = splats_of(avatar, pose)
            write(path, splats)
            count = len(splats.means)
        console.print(f"{count:,} splats ({self.format})  {escape(str(paths[0]))}", soft_wrap=True)
        if len(paths) > 1:
            console.print(f"other moments  {len(paths) - 1} beside it", soft_wrap=True)


def _writers(turned: bool) -> Mapping[SplatFormat, Callable[[Path, Splats], None]]:
    """How each format is written; PLY with y pointing down where ``turned``."""
    from sage_ns.exchange.splat_gltf import write_splat_gltf
    from sage_ns.exchange.splat_ply import PlyKind, write_splat_ply

    def ply(kind: PlyKind) -> Callable[[Path, Splats], None]:
        return lambda path, splats: write_splat_ply(path, splats.upside_down() if turned else splats, kind)

    return {"2dgs": ply("2dgs"), "3dgs": ply("3dgs"), "gltf": write_splat_gltf}
