"""Open training runs and avatar files for commands: model, avatar and cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.errors import CaptureError, SageError
from sage_ns.system.user_files import check_regular

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.plugin.model import SageModel
    from sage_ns.raster import PinholeCamera
    from sage_ns.video.views import View


def load_model(config_path: Path) -> SageModel:
    """Load the model of a training run; its capture is not needed.

    Raises:
        SageError: There is no such run, the run belongs to another method, or one of its files cannot be used.
    """
    require_run(config_path)
    from sage_ns.plugin.run_setup import load_run

    return load_run(config_path, "inference").pipeline.model


def require_run(config_path: Path) -> None:
    """Check that the config.yml of a run exists, before other work starts.

    Raises:
        SageError: There is no such file.
    """
    check_regular(config_path, SageError, "Give the config.yml of a training run.")


def require_avatar(path: Path) -> None:
    """Check that a config.yml or an avatar file exists, before other work starts.

    Raises:
        SageError: There is no such file.
    """
    check_regular(path, SageError, "Give a run's config.yml or an avatar file (.npz).")


def open_avatar(path: Path) -> Avatar:
    """Load an avatar from a run's config.yml or from an avatar file (.npz), on the GPU if there is one.

    Raises:
        SageError: ``path`` is neither.
    """
    if path.suffix != ".npz":
        return load_model(path).avatar
    import torch

    from sage_ns.avatar.avatar_file import load_avatar

    return load_avatar(path).to("cuda" if torch.cuda.is_available() else "cpu")


def run_camera(run_dir: Path, index: int) -> PinholeCamera:
    """Return the camera with this index from the snapshot of the capture that a training run keeps.

    Raises:
        CaptureError: the run has no snapshot, or the snapshot has no such camera.
    """
    from sage_ns.plugin.cameras import pinhole_camera
    from sage_ns.plugin.snapshot import SnapshotDataParserConfig, snapshot_path
    from sage_ns.video.camera_paths import no_such_camera

    path = snapshot_path(run_dir)
    if not path.is_file():
        raise CaptureError(f"{path} is missing: this run kept no cameras. Give its capture: --capture DIR")
    parser = SnapshotDataParserConfig(data=path).setup()
    known: list[int] = []
    for split in ("train", "val", "test"):
        cameras = parser.get_dataparser_outputs(split).cameras
        indices = cameras.metadata["camera_index"][:, 0].tolist()
        if index in indices:
            return pinhole_camera(cameras[indices.index(index)])
        known += indices
    raise no_such_camera(str(path), index, known)


def find_view_of(avatar: Path, name: str, capture: Path | None) -> View:
    """Return the view that the user named, like `sage_ns.video.views.find_view`, but find capture:INDEX in a run, too.

    Args:
        avatar: config.yml of a run, or an avatar file, which keeps no cameras.
        name: value of --camera.
        capture: capture folder that contains the camera; None: the run's snapshot contains it.

    Raises:
        SageError: there is no such camera, or the file is broken.
    """
    from sage_ns.video.views import camera_index, find_view

    index = camera_index(name)
    if index is None or capture is not None:
        return find_view(name, capture)
    if avatar.suffix == ".npz":
        raise SageError(
            f"--camera {name}: the avatar file {avatar} keeps no cameras; give their capture: --capture DIR"
        )
    return run_camera(avatar.parent, index)
