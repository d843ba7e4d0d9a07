"""An actor before a camera drives an avatar while it happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.motion.limits import MotionLimits
from sage_ns.motion.smoothing import Smoother
from sage_ns.rig import HeadModel
from sage_ns.tracking.actor import CALIBRATION_SECONDS, calibrated
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face, FilmDetector
from sage_ns.tracking.performance import Performance
from sage_ns.video.live_pictures import LivePictures

_MOST_CALIBRATED, _FEWEST_CALIBRATED = 12, 2
"""Faces of the first second that are used; slow machines see few, and the second lasts until there are enough."""
_IDLE = 0.005
"""Seconds to wait for a new picture."""
_RATE_OVER = 0.9
"""Share of the last mean in the frames per second that are shown."""


class LiveActor:
    """What pictures of an actor make of an avatar: its pose, and a line about how it goes.

    The first second with a face is the actor's neutral face. Frames without one hold the last pose.

    Args:
        detector: finds and follows the face.
        model: head model that the motion moves.
        embedding: of that head model.
    """

    def __init__(self, detector: FilmDetector, model: HeadModel, embedding: Embedding) -> None:
        self._detector, self._model, self._embedding = detector, model, embedding
        self._limits = MotionLimits.of(model)
        self.pose: Float[Tensor, "num_coefficients"] | None = None
        """Motion vector relative to the neutral face; None before there is one."""
        self.status = "looking for a face"
        self.calibrate()

    def calibrate(self) -> None:
        """Take the next second as the actor's neutral face."""
        self._first: list[tuple[float, Face]] = []
        self._performance: Performance | None = None
        self._smoother = Smoother(self._model)
        self._face: Face | None = None
        self._seen_at: float | None = None

    def see(self, picture: UInt8[Tensor, "height width 3"], seconds: float) -> None:
        """Look at the next picture.

        Args:
            picture: sRGB.
            seconds: time at which it was taken.
        """
        self._face = self._detector.follow(picture, self._face)
        if self._performance is None:
            self._begin((picture.shape[1], picture.shape[0]), seconds)
            return
        vector = self._performance.see(self._face)
        if vector is None:
            self.status = "face lost"
            return
        since = 0.0 if self._seen_at is None else seconds - self._seen_at
        self._seen_at, self.status = seconds, ""
        limited = self._limits.clamp(vector[None])[0][0]
        self.pose = self._smoother(limited, since)

    def _begin(self, size: tuple[int, int], seconds: float) -> None:
        """Gather faces until they cover a second, and find out who it is."""
        if self._face is None:
            self.status = "looking for a face"
            return
        self._first.append((seconds, self._face))
        self.status = "keep a neutral face"
        if len(self._first) < _FEWEST_CALIBRATED or seconds - self._first[0][0] < CALIBRATION_SECONDS:
            return
        step = -(-len(self._first) // _MOST_CALIBRATED)
        faces = [face for _, face in self._first][::step]
        self._performance = Performance(calibrated(faces, self._model, self._embedding, size))


class LiveDriver:
    """Runs a `LiveActor` in a thread of its own, on the newest picture each time: slow machines leave pictures out.

    Args:
        pictures: the source; closed at the end.
        actor: returns the actor; called in the thread, since networks take seconds to load.
    """

    def __init__(self, pictures: LivePictures, actor: Callable[[], LiveActor]) -> None:
        self._pictures, self._open = pictures, actor
        self._actor: LiveActor | None = None
        self._closing, self._again = threading.Event(), threading.Event()
        self._rate = 0.0
        self._began: float | None = None
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="live actor", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and release the source."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10.0)

    def calibrate(self) -> None:
        """Take the next second as the actor's neutral face."""
        self._again.set()

    @property
    def pose(self) -> Float[Tensor, "num_coefficients"] | None:
        """The newest motion vector; the same object until there is a new one."""
        return None if self._actor is None else self._actor.pose

    @property
    def status(self) -> str:
        """A line for people: "driven by webcam: 12 frames/s, face lost"."""
        if self._problem:
            return f"driven by {self._pictures.name}: {self._problem}"
        if self._actor is None:
            return f"driven by {self._pictures.name}: loading the networks"
        said = [f"{self._rate:.0f} frames/s" if self._rate >= 1 else f"{self._rate:.1f} frames/s", self._actor.status]
        return f"driven by {self._pictures.name}: {', '.join(filter(None, said))}"

    def _run(self) -> None:
        try:
            self._actor = self._open()
            while not self._closing.is_set():
                self._step(self._actor)
        except SageError as error:
            self._problem = f"stopped: {error}"
        except Exception as error:  # shown where the user looks; a thread's own traceback is not
            self._problem = f"stopped: {type(error).__name__}: {error}"
        finally:
            self._pictures.close()

    def _step(self, actor: LiveActor) -> None:
        picture = self._pictures.newest()
        if picture is None:
            self._closing.wait(_IDLE)
            return
        if self._again.is_set():
            self._again.clear()
            actor.calibrate()
        began = time.monotonic()
        actor.see(torch.from_numpy(picture.copy()), began)
        if self._began is not None:
            rate = 1 / max(began - self._began, 1e-3)
            self._rate = rate if self._rate == 0 else _RATE_OVER * self._rate + (1 - _RATE_OVER) * rate
        self._began = began
