"""``sage-view``: view and pose an avatar in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.errors import SageError


@dataclass
class View:
    """Open nerfstudio's viewer with an avatar."""

    avatar: Annotated[Path, tyro.conf.Positional]
    """avatar file (.npz), or the config.yml of a training run"""
    port: int = 7007
    """port of the viewer's web page"""
    host: str = "127.0.0.1"
    """address that the viewer listens on: 127.0.0.1 = this machine only, 0.0.0.0 = the whole network"""

    def run(self) -> None:
        """Start the viewer; for an avatar file, write a temporary run first."""
        if self.avatar.suffix != ".npz":
            self._view(self.avatar, num_cameras=-1)
            return
        from sage_ns.avatar.avatar import Avatar

        avatar = Avatar.load(self.avatar)
        from sage_ns.plugin.playback_run import write_playback_run
        from sage_ns.system.files import temporary_folder

        with temporary_folder("view") as folder:
            run = write_playback_run(avatar, folder / "runs" / self.avatar.stem / "surfels" / "view")
            # The run's only camera is where the page's own camera is; its image would hide the face.
            self._view(run, num_cameras=0)

    def _view(self, config_path: Path, num_cameras: int) -> None:
        if not config_path.is_file():
            raise SageError(f"{config_path} does not exist. Give an avatar file (.npz), or the config.yml of a run.")
        from nerfstudio.scripts.viewer.run_viewer import RunViewer, ViewerConfigWithoutNumRays

        viewer = ViewerConfigWithoutNumRays(
            websocket_port=self.port, websocket_host=self.host, max_num_display_images=num_cameras
        )
        RunViewer(load_config=config_path, viewer=viewer).main()


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-view``."""
    command = tyro.cli(View, args=arguments, description=__doc__)
    with explained(Console(), interrupted="The viewer has ended."):
        command.run()
