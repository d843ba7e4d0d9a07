"""What the studio films: many cameras around one moment, one camera and a head that turns, or one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from sage_ns.capture.layout import TEST, TRAIN, TRAIN_MULTIFRAME, VAL
from sage_ns.rig import HeadModel
from sage_ns.synthetic.motion import Curves, joined, perform, rest
from sage_ns.synthetic.render import StudioCamera
from sage_ns.synthetic.turning import SPEAKING, exposure_gains, exposures, turn_head

if TYPE_CHECKING:
    from sage_ns.synthetic.studio import SyntheticCapture

Regime = Literal["multiview", "monocular", "oneshot"]
Filmed = Literal["moment", "multiview", "monocular", "oneshot"]
"""Regimes that avatars are trained in, and the moment that a prior learns a person from."""

FRONT_CAMERA = 8
_TEST_CAMERAS = (3, 7, FRONT_CAMERA, 12)
_TEST_AZIMUTHS = (-45.0, 45.0)
"""Directions (degrees) of the cameras beside the front one that see the unseen expressions of a monocular capture."""
_EVERY = 3
"""Motion blur is in every third turning picture, as a person turns by fits and starts."""


@dataclass(frozen=True, eq=False)
class Filming:
    """Plan of a capture: the motion, the cameras of every moment, and the split of every picture."""

    motion: Curves
    seen_by: tuple[tuple[int, ...], ...]
    """Cameras of every moment."""
    splits: Mapping[str, Callable[[int, int], bool]]
    """Transforms file of every split, and whether the picture of a moment by a camera belongs to it."""
    about: Mapping[str, str]
    """Transforms file of every split, and its contents in words."""
    smear: Mapping[int, tuple[Curves, ...]]
    """Moments with motion blur: the motion at further instants of the exposure."""
    gains: Float[np.ndarray, "t"]
    """Exposure of every moment: factor on linear light."""


def _multiview(settings: SyntheticCapture, model: HeadModel, arc: Mapping[int, StudioCamera]) -> Filming:
    """Plan all cameras for training moments, four for held-out ones; the front camera is held out."""
    num_train = settings.num_train_timesteps
    motion = joined(
        rest(model),
        perform(model, "train", num_train - 1, settings.seed),
        perform(model, "test", settings.num_test_timesteps, settings.seed),
    )
    cameras = tuple(arc)
    if set(_TEST_CAMERAS) <= set(cameras):
        few = _TEST_CAMERAS
    else:
        few = tuple(sorted({FRONT_CAMERA, *(cameras[i] for i in np.linspace(0, len(cameras) - 1, 3).astype(int))}))
    splits: dict[str, Callable[[int, int], bool]] = {
        TRAIN: lambda moment, camera: moment == 0 and camera != FRONT_CAMERA,
        TRAIN_MULTIFRAME: lambda moment, camera: moment < num_train and camera != FRONT_CAMERA,
        VAL: lambda moment, camera: moment == 0 and camera == FRONT_CAMERA,
        TEST: lambda moment, _: moment >= num_train,
    }
    about = {
        TRAIN: "the neutral moment (timestep 0), all cameras but the front one",
        TRAIN_MULTIFRAME: "all training moments",
        VAL: f"the held-out front camera (index {FRONT_CAMERA}) at timestep 0",
        TEST: "a later sequence of unseen expressions",
    }
    seen_by = (cameras,) * num_train + (few,) * settings.num_test_timesteps
    return Filming(motion, seen_by, splits, about, {}, np.ones(len(seen_by)))


def _monocular(settings: SyntheticCapture, model: HeadModel, arc: Mapping[int, StudioCamera]) -> Filming:
    """Plan the front camera for a turning head, all cameras for its first moment, three for held-out moments."""
    num_train = settings.num_turning_timesteps
    motion = joined(
        turn_head(model, num_train, settings.turn, settings.seed),
        perform(model, "test", settings.num_test_timesteps, settings.seed),
    )
    azimuths = {index: np.degrees(np.arctan2(*camera.camera_to_world[[0, 2], 3])) for index, camera in arc.items()}
    del azimuths[FRONT_CAMERA]
    sides = {min(azimuths, key=lambda index, side=side: abs(azimuths[index] - side)) for side in _TEST_AZIMUTHS}
    few = tuple(sorted({FRONT_CAMERA, *sides}))
    splits: dict[str, Callable[[int, int], bool]] = {
        TRAIN: lambda moment, camera: moment < num_train and camera == FRONT_CAMERA,
        VAL: lambda moment, camera: moment == 0 and camera != FRONT_CAMERA,
        TEST: lambda moment, _: moment >= num_train,
    }
    about = {
        TRAIN: f"one camera (index {FRONT_CAMERA}) that stands still, and a head that turns",
        VAL: "all other cameras at timestep 0",
        TEST: "a later sequence of unseen expressions",
    }
    seen_by = (tuple(arc), *((FRONT_CAMERA,),) * (num_train - 1), *(few,) * settings.num_test_timesteps)
    instants = exposures(motion, num_train, settings.motion_blur)
    blurred = range(_EVERY - 1, num_train, _EVERY) if settings.motion_blur > 0.0 else ()
    gains = np.ones(len(seen_by))
    gains[:num_train] = exposure_gains(num_train, settings.exposure_drift, settings.seed)
    return Filming(motion, seen_by, splits, about, dict.fromkeys(blurred, instants), gains)


def _oneshot(settings: SyntheticCapture, model: HeadModel, arc: Mapping[int, StudioCamera]) -> Filming:
    """Plan one picture by the front camera; all other cameras see that moment, three cameras the held-out ones."""
    still = _monocular(replace(settings, num_turning_timesteps=1, motion_blur=0.0, exposure_drift=0.0), model, arc)
    about = {**still.about, TRAIN: f"one picture (camera {FRONT_CAMERA}, timestep 0)"}
    return replace(still, about=about)


def _moment(settings: SyntheticCapture, model: HeadModel, arc: Mapping[int, StudioCamera]) -> Filming:
    """Plan one neutral moment, mouth slightly open, that all cameras see; the front camera is held out."""
    splits: dict[str, Callable[[int, int], bool]] = {
        TRAIN: lambda _, camera: camera != FRONT_CAMERA,
        VAL: lambda _, camera: camera == FRONT_CAMERA,
    }
    about = {
        TRAIN: "one neutral moment, all cameras but the front one",
        VAL: f"the held-out front camera (index {FRONT_CAMERA})",
    }
    return Filming(rest(model, *SPEAKING), (tuple(arc),), splits, about, {}, np.ones(1))


REGIMES: Mapping[Filmed, Callable[[SyntheticCapture, HeadModel, Mapping[int, StudioCamera]], Filming]] = {
    "multiview": _multiview,
    "monocular": _monocular,
    "oneshot": _oneshot,
    "moment": _moment,
}
"""How to plan the filming of each regime."""
