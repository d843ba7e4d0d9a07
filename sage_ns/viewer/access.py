"""What a page of the viewer may reach: the motion files that it may name, and who drives the avatar live."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from sage_ns.errors import SageError
from sage_ns.video.live_pictures import LivePictures


@dataclass(frozen=True)
class Access:
    """What the user has allowed on the command line."""

    motion: Path | None = None
    """motion that the panel plays first; None = the driver of the capture"""
    folders: tuple[Path, ...] = ()
    """folders that the page may read motion from, besides the capture and the run"""
    host_chosen: bool = False
    """whether the user has chosen the address that the viewer listens on"""
    drive: LivePictures | None = None
    """camera or film of an actor who drives the avatar live"""


_granted: ContextVar[Access] = ContextVar("access of the viewer's page", default=Access())  # noqa: B039 (frozen)


@contextmanager
def granting(access: Access) -> Iterator[None]:
    """Grant ``access`` to the viewers that are set up inside the block; nerfstudio has no way to hand it down."""
    token = _granted.set(access)
    try:
        yield
    finally:
        _granted.reset(token)


def granted() -> Access:
    """Return the access of a viewer that is set up now."""
    return _granted.get()


class ReadablePaths:
    """Finds the files and folders that a page may read.

    Args:
        roots: folders that it may read with all that they contain, and single files.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(dict.fromkeys(root.resolve() for root in roots))

    def find(self, typed: str) -> Path:
        """Return the file or folder that the user of a page has typed, with all links followed.

        A relative path starts at the working folder or at one of the roots. The path need not exist.

        Raises:
            SageError: the path is none, or is outside the roots; the message is the same whether it exists or not.
        """
        # Unlike Path.expanduser, this leaves the name of an unknown user as it is.
        given = Path(os.path.expanduser(typed))
        bases = (Path.cwd(), *self._roots)
        try:
            places = [(base / given).resolve() for base in (bases[:1] if given.is_absolute() else bases)]
            inside = [place for place in places if any(place.is_relative_to(root) for root in self._roots)]
            found = [place for place in inside if place.exists()]
        except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, links in a circle
            raise SageError(f"{typed}: this is not a path. Type the path of a motion file or folder.") from error
        if not inside:
            raise SageError(
                f"{typed}: the page may not read this. It may read the capture, the run, and what --motion and --allow "
                "of sage-view name. Copy the motion into the capture, or start the viewer with: "
                "sage-view AVATAR --allow FOLDER"
            )
        return (found or inside)[0]
