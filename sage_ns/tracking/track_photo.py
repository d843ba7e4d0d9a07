"""From one photo to a capture: the steps in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sage_ns.capture.decode import read_header
from sage_ns.capture.writer import refuse_used_folder
from sage_ns.errors import OptionError, TrackingError
from sage_ns.raster.cameras import project
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.system.user_files import check_regular
from sage_ns.tracking.choice import check_fit, choose_face
from sage_ns.tracking.cut_out import Foreground, cut_out
from sage_ns.tracking.face import FaceDetector
from sage_ns.tracking.focal import RANGE_MM, given_focal_length
from sage_ns.tracking.foreground import Segment, read_mask
from sage_ns.tracking.landmark_fit import fit_landmarks, keep_head
from sage_ns.tracking.options import SingleCameraOptions
from sage_ns.tracking.photo import Photo, read_photo
from sage_ns.tracking.photometric_fit import SeenHead
from sage_ns.tracking.refiners import LANDMARKS, refiners
from sage_ns.tracking.rig_embedding import embedding_on
from sage_ns.tracking.sight import Sight
from sage_ns.tracking.starts import starts
from sage_ns.tracking.window import Window, head_window
from sage_ns.tracking.write import NO_CONSENT, TrackedPhoto, write_tracked

SIZES = (64, 4096)
"""Range of the longer side of the written picture, pixels."""
_SMALL, _FAR = 150.0, 35.0
"""Pixels of a face below which, and degrees from the front beyond which, a note says what to expect."""


@dataclass(frozen=True)
class PhotoOptions(SingleCameraOptions):
    """How to track a photo."""

    mask: Path | None = None
    """255 = person; used as it is."""
    refine: str = LANDMARKS
    """What follows the fit to landmarks; a name in `sage_ns.tracking.refiners`."""


@dataclass(frozen=True, eq=False)
class Networks:
    """What finds faces and people in pictures."""

    detect: FaceDetector
    segment: Segment

    @classmethod
    def shipped(cls) -> Networks:
        """Return the networks that the package brings."""
        from sage_ns.tracking.face_landmarker import load_face_landmarker
        from sage_ns.tracking.segmentation import load_segmenter

        segmenter = load_segmenter()
        return cls(load_face_landmarker(), lambda picture: segmenter(picture).double().numpy())


def track_photo(
    options: PhotoOptions, model: HeadModel, networks: Networks, say: Callable[[str], None] = lambda step: None
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
    start = starts[options.initialise].open(options.start_files, model)
    photo = _with_focal_length(read_photo(options.input), options)
    name = str(options.input)
    say("looking for faces")
    faces = networks.detect(photo.pixels)
    face = choose_face(faces, options.face, name)
    say("placing the landmarks on the head model")
    embedding = embedding_on(model, networks.detect)
    say("fitting the head")
    sight = Sight(photo.pixels, face, photo.focal.pixels, embedding)
    begin = None if start is None else start.heads([sight])[0]
    if begin is not None and options.keep_heads:
        fit = keep_head(face, model, embedding, photo.focal, photo.size, begin)
    else:
        fit = fit_landmarks(face, model, embedding, photo.focal, photo.size, start=begin)
    check_fit(fit, name)
    vertices = pose_vertices(model, fit.params)[0]
    whole = Window(0, 0, *photo.size, 1).camera(fit.focal, photo.size)
    window = head_window(project(vertices, whole).pixels.double().numpy(), photo.size, options.size)
    say("finding the foreground")
    mask = None if options.mask is None else read_mask(options.mask, photo)
    given = Foreground(networks.segment, mask, options.background, options.mask)
    cut = cut_out(photo, window, vertices, fit.points, model, whole, given)
    say(f"refining the head ({options.refine})")
    seen = SeenHead(fit, face, model, embedding, photo.focal, photo.size, window, cut.on_white, cut.matte, cut.hidden)
    refined = refiners[options.refine].refine(seen)
    fit = refined.fit
    notes = (
        *face_notes(fit.face_width, fit.turn, cut.way.caveat),
        *((refined.note,) if refined.note else ()),
        *(() if start is None else start.notes),
        *(() if options.consent else (NO_CONSENT,)),
    )
    tracked = TrackedPhoto(
        photo, model, face, len(faces), refined, pose_vertices(model, fit.params)[0], window, cut.picture, cut.matte,
        cut.on_white, cut.way.name, notes, options.consent, cut.hidden,
    )  # fmt: skip
    say("writing the capture")
    write_tracked(options.out.expanduser().absolute(), tracked)
    return tracked


def _check(options: PhotoOptions) -> None:
    """Refuse options that cannot be used, before anything is read."""
    refiners[options.refine]  # refuses names that it does not know
    check_kept(options.keep_heads, options.refine)
    check_numbers(options.size, options.focal_mm)
    if options.mask is not None and options.background is not None:
        raise OptionError(
            "give a mask or a clean background, not both", mask=options.mask, background=options.background
        )
    for path, role in ((options.mask, "mask"), (options.background, "image")):
        if path is not None:
            check_given_picture(path, role)


def check_numbers(size: int, focal_mm: float | None) -> None:
    """Refuse a size of the written picture [pixels] or a focal length [mm of 35 mm film] that cannot be.

    Raises:
        OptionError: names the option.
    """
    low, high = SIZES
    if not low <= size <= high:
        raise OptionError(f"expected {low} to {high} pixels", size=size)
    if focal_mm is not None and not RANGE_MM[0] <= focal_mm <= RANGE_MM[1]:
        raise OptionError(f"expected {RANGE_MM[0]:g} to {RANGE_MM[1]:g} mm, as for 35 mm film", focal_mm=focal_mm)


def check_kept(keep_heads: bool, refine: str | None) -> None:
    """Refuse to refine heads that the user wants to keep; None = the user has not said what follows the fit.

    Raises:
        OptionError: names the option.
    """
    if keep_heads and refine not in (None, LANDMARKS):
        raise OptionError("heads that are kept are not refined; give one or the other", refine=refine)


def check_given_picture(path: Path, role: str) -> None:
    """Refuse a mask or a clean background that cannot be read.

    Raises:
        SageError: the file is missing or no picture.
    """
    check_regular(path, TrackingError, "Give a picture of the size of the photo.")
    read_header(path, role)


def _with_focal_length(photo: Photo, options: PhotoOptions) -> Photo:
    return photo if options.focal_mm is None else replace(photo, focal=given_focal_length(options.focal_mm, photo.size))


def face_notes(width: float, turn: float, caveat: str) -> tuple[str, ...]:
    """Return what the user should know about a face.

    Args:
        width: of the face, pixels.
        turn: degrees from the front.
        caveat: where the mask may fail.
    """
    notes = []
    if width < _SMALL:
        notes.append(f"The face is {width:.0f} px wide; from {_SMALL:.0f} px on, eyes and lips are sharp.")
    if turn > _FAR:
        notes.append(f"The face is turned away by {turn:.0f} degrees; the far side is a guess, and so is its fit.")
    if caveat:
        notes.append(caveat)
    return tuple(notes)
