"""From one photo to a capture: the steps in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sage_ns.capture.decode import read_header
from sage_ns.capture.writer import refuse_used_folder
from sage_ns.errors import OptionError, TrackingError
from sage_ns.raster.cameras import project
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.system.user_files import check_regular
from sage_ns.tracking.choice import check_fit, choose_face
from sage_ns.tracking.face import FaceDetector
from sage_ns.tracking.focal import RANGE_MM, FocalLength, in_pixels
from sage_ns.tracking.foreground import Scene, Segment, choose_way, on_white, soft_matte
from sage_ns.tracking.head_area import head_area, silhouette
from sage_ns.tracking.landmark_fit import fit_landmarks
from sage_ns.tracking.photo import Photo, read_photo
from sage_ns.tracking.photometric_fit import SeenHead
from sage_ns.tracking.refiners import LANDMARKS, refiners
from sage_ns.tracking.rig_embedding import embedding_on
from sage_ns.tracking.window import Window, head_window
from sage_ns.tracking.write import NO_CONSENT, TrackedPhoto, write_tracked

SIZES = (64, 4096)
"""Range of the longer side of the written picture, pixels."""
_CHIN = 152
"""Landmark at the tip of the chin."""
_SMALL, _FAR = 150.0, 35.0
"""Pixels of a face below which, and degrees from the front beyond which, a note says what to expect."""
_LEAST_COVER = 0.5
"""Share of the rig's silhouette that a matte has to cover."""


@dataclass(frozen=True)
class TrackOptions:
    """What to track, and how."""

    photo: Path
    out: Path
    face: str | None = None
    """"largest", or the number of a face; None = the largest if it is clearly the largest."""
    mask: Path | None = None
    background: Path | None = None
    """The same view without the person."""
    focal_mm: float | None = None
    """Focal length as for 35 mm film, if the user knows it."""
    size: int = 800
    """Most pixels of the longer side of the written picture."""
    consent: str = ""
    overwrite: bool = False
    refine: str = LANDMARKS
    """What follows the fit to landmarks; a name in `sage_ns.tracking.refiners`."""


@dataclass(frozen=True, eq=False)
class Networks:
    """What finds faces and people in pictures."""

    detect: FaceDetector
    segment: Segment


def track_photo(
    options: TrackOptions, model: HeadModel, networks: Networks, say: Callable[[str], None] = lambda step: None
) -> TrackedPhoto:
    """Track one photo and write its capture.

    Args:
        options: what to track.
        model: head model to fit.
        networks: what finds the face and the person.
        say: called with a line about every step before it starts.

    Raises:
        SageError: the photo, an option or what the photo shows cannot be used; says what to do. Nothing is written.
    """
    _check(options)
    refuse_used_folder(options.out.expanduser().absolute(), options.overwrite)
    photo = _with_focal_length(read_photo(options.photo), options)
    name = str(options.photo)
    say("looking for faces")
    faces = networks.detect(photo.pixels)
    face = choose_face(faces, options.face, name)
    say("placing the landmarks on the head model")
    embedding = embedding_on(model, networks.detect)
    say("fitting the head")
    fit = fit_landmarks(face, model, embedding, photo.focal, photo.size)
    check_fit(fit, name)
    vertices = pose_vertices(model, fit.params)[0]
    whole = Window(0, 0, *photo.size, 1)
    pixels = project(vertices, whole.camera(fit.focal, photo.size)).pixels.double().numpy()
    window = head_window(pixels, photo.size, options.size)
    say("finding the foreground")
    camera = window.camera(fit.focal, photo.size)
    shape = silhouette(vertices, model, camera)
    scene = Scene(photo, window, shape, networks.segment, options.mask, options.background)
    way, picture = choose_way(scene), window.cut(photo.pixels) / 255.0
    matte = way.matte(scene)
    if way.ends_at_neck:
        chin = (fit.points[_CHIN] - fit.points.new_tensor([window.left, window.top])) / window.factor
        matte = soft_matte(matte, picture) * head_area(vertices, model, camera, chin, shape)
    _check_matte(matte, shape, way.name, options)
    head = on_white(picture, matte)
    say(f"refining the head ({options.refine})")
    seen = SeenHead(fit, face, model, embedding, photo.focal, photo.size, window, head, matte)
    refined = refiners[options.refine].refine(seen)
    notes = (
        *_notes(refined.fit.face_width, refined.fit.turn, way.caveat, refined.note),
        *(() if options.consent else (NO_CONSENT,)),
    )
    tracked = TrackedPhoto(
        photo, model, face, len(faces), refined, pose_vertices(model, refined.fit.params)[0], window, picture, matte,
        head, way.name, notes, options.consent,
    )  # fmt: skip
    say("writing the capture")
    write_tracked(options.out.expanduser().absolute(), tracked)
    return tracked


def _check(options: TrackOptions) -> None:
    """Refuse options that cannot be used, before anything is read."""
    low, high = SIZES
    refiners[options.refine]  # refuses names that it does not know
    if not low <= options.size <= high:
        raise OptionError(f"expected {low} to {high} pixels", size=options.size)
    if options.focal_mm is not None and not RANGE_MM[0] <= options.focal_mm <= RANGE_MM[1]:
        raise OptionError(
            f"expected {RANGE_MM[0]:g} to {RANGE_MM[1]:g} mm, as for 35 mm film", focal_mm=options.focal_mm
        )
    if options.mask is not None and options.background is not None:
        raise OptionError(
            "give a mask or a clean background, not both", mask=options.mask, background=options.background
        )
    for path, role in ((options.mask, "mask"), (options.background, "image")):
        if path is not None:
            check_regular(path, TrackingError, "Give a picture of the size of the photo.")
            read_header(path, role)


def _with_focal_length(photo: Photo, options: TrackOptions) -> Photo:
    if options.focal_mm is None:
        return photo
    pixels = in_pixels(options.focal_mm, *photo.size)
    return replace(photo, focal=FocalLength(pixels, 0.0, f"given: {options.focal_mm:g} mm"))


def _check_matte(matte: np.ndarray, shape: np.ndarray, way: str, options: TrackOptions) -> None:
    cover = float((matte * shape).sum() / max(shape.sum(), 1.0))
    if cover < _LEAST_COVER:
        advice = "A mask is 255 at the person: invert inverted masks." if way == "mask" else "Give a mask (--mask)."
        raise TrackingError(
            f"{options.mask or options.photo}: the foreground ({way}) covers {cover:.0%} of the fitted head; expected "
            f"at least {_LEAST_COVER:.0%}. {advice}"
        )


def _notes(width: float, turn: float, *caveats: str) -> tuple[str, ...]:
    notes = []
    if width < _SMALL:
        notes.append(f"The face is {width:.0f} px wide; from {_SMALL:.0f} px on, eyes and lips are sharp.")
    if turn > _FAR:
        notes.append(f"The face is turned away by {turn:.0f} degrees; the far side is a guess, and so is its fit.")
    return (*notes, *filter(None, caveats))
