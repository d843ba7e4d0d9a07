"""``sage-export``: take an avatar out of nerfstudio."""

from __future__ import annotations

import sys
import warnings

import tyro
from rich.console import Console
from rich.markup import escape

from sage_ns.cli.export_avatar import ExportAvatar
from sage_ns.cli.export_gaussian_avatars import ExportGaussianAvatars
from sage_ns.cli.export_mesh import ExportMesh
from sage_ns.cli.export_splats import ExportSplats
from sage_ns.cli.export_web import ExportWeb
from sage_ns.errors import SageError

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
    # Deprecations inside nerfstudio: not for a user to mend.
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        command.run(console)
    except SageError as error:
        console.print(f"[red]{type(error).__name__}:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
