"""An actor's clip as a motion file: the reader that makes every command for motion take a clip.

Readers live in `sage_ns.motion.files`, below this room. This one registers itself when it is imported; modules that
offer motion files to users import their functions from here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sage_ns.errors import CaptureError
from sage_ns.motion.files import MotionReader, MotionSplit, register_reader
from sage_ns.motion.files import describe_readers as describe_readers
from sage_ns.motion.files import load_driver as load_driver
from sage_ns.motion.files import load_motion as load_motion
from sage_ns.system.user_files import open_regular

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion
    from sage_ns.rig import HeadModel

_PICTURES = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
"""Brands of ISO base media files that are pictures, not films."""


@register_reader
class ActorClip(MotionReader):
    """A film of an actor's face."""

    name = "clip of an actor"
    reads = "a clip of an actor's face (mp4, mov, mkv, webm or avi)"
    keeps = (
        "face, jaw, eyes and head, from the landmarks of every frame, relative to the neutral face of the first second "
        "(docs/tracking.md); the head turns the neck"
    )
    programs = ("phones and webcams",)

    def recognises(self, path: Path) -> bool:
        """Return whether the file begins like a film: ISO base media (mp4, mov), Matroska (mkv, webm), or AVI."""
        if not path.is_file():
            return False
        with open_regular(path, CaptureError) as file:
            start = file.read(12)
        if start[4:8] == b"ftyp":
            return start[8:12] not in _PICTURES
        return start.startswith(b"\x1a\x45\xdf\xa3") or (start.startswith(b"RIFF") and start[8:12] == b"AVI ")

    def read(self, path: Path, split: MotionSplit) -> Motion:
        """Refuse: landmarks become motion only on a rig."""
        raise CaptureError(
            f"{path}: a clip becomes motion only on the rig of an avatar. Give the head model, too: load_motion(path, "
            "avatar.rig.head_model)."
        )

    def read_for(self, path: Path, split: MotionSplit, rig: Callable[[], HeadModel]) -> Motion:
        """Find the actor's face in every frame, and fit the rig to it."""
        from dataclasses import replace
        from functools import cache

        from sage_ns.tracking.detectors import open_detector
        from sage_ns.tracking.film_faces import faces_of_film
        from sage_ns.tracking.performance import acted, first_faces
        from sage_ns.tracking.rig_embedding import embedding_of_actor

        detector = cache(open_detector)
        faces = faces_of_film(path, detector)
        first_faces(faces, str(path))  # refused before the avatar is loaded
        model, embedding = embedding_of_actor(rig(), detector)
        return replace(acted(faces, model, embedding, str(path)), source=path)
