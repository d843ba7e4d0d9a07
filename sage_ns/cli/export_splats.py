"""``sage-export splats``: write the avatar as Gaussian splats in world space, for any viewer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from sage_ns.cli.notes import print_notes
from sage_ns.cli.options import MOTION_FILES
from sage_ns.exchange.splat_formats import describe_writers, writer_of, writers
from sage_ns.system.console import escape

if TYPE_CHECKING:
    FormatName = str
else:
    FormatName = tyro.extras.literal_type_from_choices([writer.name for writer in writers()])


@dataclass
class ExportSplats:
    """Write the avatar as Gaussian splats, one file per moment, for SuperSplat and other programs.

    Writes the canonical pose (canonical.ply) or, with --motion or --timesteps, posed moments (posed_00012.ply). The
    splats are corrected and include mouth and wrinkles. The dark inside of the head depends on the camera and is left
    out.
    """

    load_config: Path
    """config.yml of a training run, or an avatar file (.npz)"""
    output_dir: Path
    """folder to write the files to"""
    format: Annotated[FormatName, tyro.conf.arg(help=describe_writers())] = "3dgs"
    motion: Annotated[Path | None, tyro.conf.arg(help=f"motion that poses the avatar: {MOTION_FILES}")] = None
    timesteps: tuple[int, ...] = ()
    """moments to write: rows of --motion (counted from 0; default: all), or without --motion, timesteps of the avatar's
    own capture (default: none)"""
    axes: Literal["viewers", "world"] = "viewers"
    """axes of a PLY: viewers = y down, as SuperSplat and the original viewers expect; world = y up, as in the capture.
    The face looks towards +z in both. glTF is always y up"""
    overwrite: bool = False
    """replace existing files"""

    def run(self, console: Console) -> None:
        """Check the options, place the surfels, write the files and print their number."""
        from sage_ns.exchange.moments import choose_moments
        from sage_ns.exchange.splat_export import export_splats
        from sage_ns.plugin.runs import open_avatar, require_avatar
        from sage_ns.system.files import refuse_existing

        require_avatar(self.load_config)
        load = cache(lambda: open_avatar(self.load_config))
        moments = choose_moments(self.timesteps, self.motion, rig=lambda: load().rig.head_model)
        print_notes(console, moments.notes)
        names = [f"posed_{moment:05d}" for moment in moments.chosen] or ["canonical"]
        paths = [self.output_dir / f"{name}{writer_of(self.format).suffix}" for name in names]
        refuse_existing(paths, self.overwrite)
        avatar = load()
        poses = (
            moments.motion(avatar, lambda note: print_notes(console, [note]))
            if moments.chosen
            else avatar.motion.canonical()[None]
        )
        count = export_splats(avatar, poses, paths, self.format, self.axes)
        console.print(f"{count:,} splats ({self.format})  {escape(str(paths[0]))}", soft_wrap=True)
        if len(paths) > 1:
            console.print(f"other moments  {len(paths) - 1} in the same folder", soft_wrap=True)
