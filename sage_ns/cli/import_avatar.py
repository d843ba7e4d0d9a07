"""``sage-import``: convert an avatar that another program has trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.cli.notes import print_notes
from sage_ns.errors import SageError
from sage_ns.system.console import escape


@dataclass
class ImportGaussianAvatars:
    """Convert a GaussianAvatars run to an avatar file, which the other commands view, drive, render and export.

    Each ellipsoid becomes a surfel whose normal is the ellipsoid's shortest axis. The avatar is drawn as it was
    trained, without this package's correction of posed surfels, wrinkles and mouth.
    """

    point_cloud: Annotated[Path, tyro.conf.Positional]
    """point_cloud.ply that GaussianAvatars or sage-export gaussian-avatars wrote"""
    output: Path
    """avatar file to write (.npz)"""
    flame_param: Path | None = None
    """its FLAME parameters (.npz); default: flame_param.npz beside the point cloud. The first timestep becomes the
    canonical moment"""
    head_model: Path | None = None
    """head model file (FLAME) that it was trained with; default: the one that SAGE_HEAD_MODEL names"""
    mouth: bool = False
    """add this package's teeth, tongue and palate behind the lips"""
    overwrite: bool = False
    """replace an existing file"""

    def run(self, console: Console) -> None:
        """Check the options, read the run, write the avatar file and print its size."""
        from sage_ns.exchange.gaussian_avatars_import import find_flame_param, load_gaussian_avatar
        from sage_ns.rig import find_head_model, load_head_model
        from sage_ns.system.files import refuse_existing

        if self.output.suffix != ".npz":
            raise SageError(f"{self.output}: an avatar file is an npz file; give a name that ends in .npz")
        refuse_existing([self.output], self.overwrite)
        flame_param = self.flame_param or find_flame_param(self.point_cloud)
        head_model = load_head_model(find_head_model(self.head_model))
        imported = load_gaussian_avatar(self.point_cloud, head_model, flame_param, self.mouth)
        imported.avatar.save(self.output)
        print_notes(console, imported.notes)
        moments = len(imported.avatar.motion.motion)
        console.print(
            f"{imported.avatar.surfels.num_surfels:,} surfels, {moments} timesteps  {escape(str(self.output))}",
            soft_wrap=True,
        )


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-import``."""
    console = Console()
    commands = {"gaussian-avatars": ImportGaussianAvatars}
    command = tyro.extras.subcommand_cli_from_dict(commands, args=arguments, description=__doc__)
    with explained(console):
        command.run(console)
