"""``sage-export gaussian-avatars``: write the avatar, bound to FLAME, for GaussianAvatars' programs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import arg

from sage_ns.cli.notes import print_notes
from sage_ns.cli.options import MOTION_FILES
from sage_ns.system.console import escape


@dataclass
class ExportGaussianAvatars:
    """Write point_cloud.ply and flame_param.npz in GaussianAvatars' format, which its viewer animates.

    The splats are relative to FLAME's triangles; other viewers cannot place them (use `sage-export splats` for those).
    GaussianAvatars has no inside of the mouth, no correction of posed splats and no wrinkles; these are left out.
    Timestep 0 is the canonical moment; the avatar's own motion or --motion follows.
    """

    load_config: Path
    """config.yml of a training run, or an avatar file (.npz)"""
    output_dir: Path
    """folder to write the two files to"""
    head_model: Path | None = None
    """head model file that the avatar was trained with; default: the one that SAGE_HEAD_MODEL names"""
    motion: Annotated[
        Path | None, arg(help=f"motion to write: {MOTION_FILES}; default: the motion of the avatar's own capture")
    ] = None
    timesteps: tuple[int, ...] = ()
    """moments to write: rows of --motion (counted from 0), or without --motion, timesteps of the avatar's own capture;
    default: all"""
    overwrite: bool = False
    """replace existing files"""

    def run(self, console: Console) -> None:
        """Check the options, write the files and print what they contain."""
        from sage_ns.exchange.gaussian_avatars import FLAME_PARAM, POINT_CLOUD, save_gaussian_avatar
        from sage_ns.exchange.moments import choose_moments
        from sage_ns.plugin.runs import open_avatar, require_avatar
        from sage_ns.rig import find_head_model, load_head_model
        from sage_ns.system.files import refuse_existing

        require_avatar(self.load_config)
        load = cache(lambda: open_avatar(self.load_config))
        moments = choose_moments(self.timesteps, self.motion, rig=lambda: load().rig.head_model)
        print_notes(console, moments.notes)
        paths = [self.output_dir / name for name in (POINT_CLOUD, FLAME_PARAM)]
        refuse_existing(paths, self.overwrite)
        head_model = load_head_model(find_head_model(self.head_model))
        avatar = load()
        motion = (
            moments.motion(avatar, lambda note: print_notes(console, [note]))
            if moments.chosen
            else avatar.motion.motion
        )
        save_gaussian_avatar(avatar, head_model, motion, self.output_dir)
        console.print(f"{avatar.surfels.num_surfels:,} splats  {escape(str(paths[0]))}", soft_wrap=True)
        console.print(f"{len(motion) + 1} timesteps  {escape(str(paths[1]))}", soft_wrap=True)
        if avatar.mouth is not None:
            left_out = avatar.mouth.surfels.num_surfels
            console.print(f"left out  {left_out:,} surfels of the mouth, which FLAME has no triangles for")
