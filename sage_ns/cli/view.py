"""``sage-view``: view and pose an avatar in the browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.cli.options import MOTION_FILES
from sage_ns.errors import SageError
from sage_ns.system.user_files import check_regular

if TYPE_CHECKING:
    from sage_ns.video.live_pictures import LivePictures


@dataclass
class View:
    """Open nerfstudio's viewer with an avatar."""

    avatar: Annotated[Path, tyro.conf.Positional]
    """avatar file (.npz), or the folder or config.yml of a training run"""
    port: int = 7007
    """port of the viewer's web page"""
    host: str = "127.0.0.1"
    """address that the viewer listens on: 127.0.0.1 = this machine only, 0.0.0.0 = the whole network; from another
    machine, use ssh -L PORT:127.0.0.1:PORT"""
    motion: Annotated[
        Path | None,
        tyro.conf.arg(help=f"motion for the tab Sequence: {MOTION_FILES}; default: the driver of the capture"),
    ] = None
    drive: str | None = None
    """actor who drives the avatar live: webcam, webcam:NUMBER for another camera, or a clip, which is played over and
    over. Begin with a neutral face for a second; the tab Live shows how it goes"""
    allow: tuple[Path, ...] = ()
    """folders that the page may load motion from, besides the capture and the run"""

    def run(self) -> None:
        """Start the viewer; for an avatar file, write a temporary run first."""
        self._check_paths()
        with self._driven() as self._pictures:
            self._open()

    def _open(self) -> None:
        if self.avatar.suffix != ".npz":
            self._view(self.avatar / "config.yml" if self.avatar.is_dir() else self.avatar, num_cameras=-1)
            return
        from sage_ns.avatar.avatar import Avatar

        avatar = Avatar.load(self.avatar)
        from sage_ns.plugin.playback_run import write_playback_run
        from sage_ns.system.files import temporary_folder

        with temporary_folder("view") as folder:
            run = write_playback_run(avatar, folder / "runs" / self.avatar.stem / "surfels" / "view")
            # The run's only camera is where the page's own camera is; its image would hide the face.
            self._view(run, num_cameras=0)

    @contextmanager
    def _driven(self) -> Iterator[LivePictures | None]:
        """Open the camera or the clip before anything takes time, and release it at the end."""
        if self.drive is None:
            yield None
            return
        from sage_ns.video.live_pictures import open_live

        with closing(open_live(self.drive)) as pictures:
            yield pictures

    def _check_paths(self) -> None:
        for folder in map(_expanded, self.allow):
            if not folder.is_dir():
                raise SageError(f"--allow {folder}: no such folder. Give folders that contain motion files.")
        if self.motion is not None and not _expanded(self.motion).exists():
            raise SageError(f"--motion {self.motion}: no such file or folder. Give {MOTION_FILES}.")

    def _view(self, config_path: Path, num_cameras: int) -> None:
        check_regular(config_path, SageError, "Give an avatar file (.npz), or the config.yml of a run.")
        from nerfstudio.configs.base_config import ViewerConfig
        from nerfstudio.scripts.viewer.run_viewer import _start_viewer

        from sage_ns.plugin.run_setup import load_run
        from sage_ns.viewer.access import Access, granting

        run = load_run(config_path, "test")
        run.config.vis = "viewer"
        run.config.viewer = ViewerConfig(
            websocket_port=self.port,
            websocket_host=self.host,
            max_num_display_images=num_cameras,
            num_rays_per_chunk=run.config.viewer.num_rays_per_chunk,
        )
        motion = None if self.motion is None else _expanded(self.motion)
        with granting(Access(motion, tuple(map(_expanded, self.allow)), True, self._pictures)):
            _start_viewer(run.config, run.pipeline, run.step)


def _expanded(path: Path) -> Path:
    """Return the path with the user's home for ~; unlike Path.expanduser, an unknown user's name is left as it is."""
    return Path(os.path.expanduser(path))


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-view``."""
    command = tyro.cli(View, args=arguments, description=__doc__)
    with explained(Console(), interrupted="The viewer has ended."):
        command.run()
