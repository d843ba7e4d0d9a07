"""``sage-export``: write an avatar as a mesh, splats, GaussianAvatars files, one avatar file or a web page."""

from __future__ import annotations

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.cli.export_avatar import ExportAvatar
from sage_ns.cli.export_gaussian_avatars import ExportGaussianAvatars
from sage_ns.cli.export_mesh import ExportMesh
from sage_ns.cli.export_splats import ExportSplats
from sage_ns.cli.export_web import ExportWeb

COMMANDS = {
    "mesh": ExportMesh,
    "splats": ExportSplats,
    "gaussian-avatars": ExportGaussianAvatars,
    "avatar": ExportAvatar,
    "web": ExportWeb,
}


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-export``."""
    console = Console()
    command = tyro.extras.subcommand_cli_from_dict(COMMANDS, args=arguments, description=__doc__)
    with explained(console):
        command.run(console)
