"""Finding the avatar that a command is about: that of a training run, or one in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_ns.errors import SageError

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.plugin.model import SageModel


def load_model(config_path: Path) -> SageModel:
    """The model of a training run; its capture is not needed.

    Raises:
        SageError: There is no such run, or it is of another method.
    """
    if not config_path.is_file():
        raise SageError(f"{config_path} does not exist. Give the config.yml of a training run.")
    from nerfstudio.utils.eval_utils import eval_setup

    from sage_ns.plugin.model import SageModel

    config, pipeline, _, _ = eval_setup(config_path, test_mode="inference")
    model: Any = pipeline.model
    if not isinstance(model, SageModel):
        raise SageError(f"{config_path} is a run of '{config.method_name}', which makes no avatar")
    return model


def require_avatar(path: Path) -> None:
    """Refuse a path with nothing at it, before any work is done for it.

    Raises:
        SageError: There is no such file.
    """
    if not path.is_file():
        raise SageError(f"{path} does not exist. Give a run's config.yml or an avatar file (.npz).")


def load_avatar(path: Path) -> Avatar:
    """An avatar from a run's config.yml or from an avatar file (.npz), on the GPU if there is one.

    Raises:
        SageError: There is neither at ``path``.
    """
    if path.suffix != ".npz":
        return load_model(path).avatar
    import torch

    from sage_ns.avatar.avatar_file import load_avatar as load_file

    return load_file(path).to("cuda" if torch.cuda.is_available() else "cpu")
