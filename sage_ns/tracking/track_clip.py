"""From a clip of a turning head to a capture: the steps in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sage_ns.capture.head_direction import seen_at
from sage_ns.capture.head_turns import ENOUGH_SPAN, LEAST_SPAN
from sage_ns.capture.photo import FARTHEST_TURN
from sage_ns.capture.writer import refuse_used_folder
from sage_ns.errors import OptionError, TrackingError
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.system.progress import progress_bar
from sage_ns.tracking.choice import fault_of_fit
from sage_ns.tracking.clip import MOST_FRAMES, RANGE_OF_FRAMES, Clip, ClipFrame, choose_frames, open_clip, pictures
from sage_ns.tracking.clip_faces import FoundFaces, LeftOut, SeenFrame, follow, require_enough
from sage_ns.tracking.clip_refiners import TurningHead, clip_refiners
from sage_ns.tracking.cut_out import CutOut, Foreground, cut_out
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.focal import FocalLength, given_focal_length, usual_focal_length
from sage_ns.tracking.joint_fit import JointFit, KnownCamera, Sighting, fit_moments, keep_moments
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.options import SingleCameraOptions
from sage_ns.tracking.photo import Photo
from sage_ns.tracking.placement import placed, turn
from sage_ns.tracking.refiners import LANDMARKS, PHOTOMETRIC
from sage_ns.tracking.rig_embedding import embedding_on
from sage_ns.tracking.sight import Sight
from sage_ns.tracking.starts import Beginning, one_person, starts
from sage_ns.tracking.track_photo import Networks, check_given_picture, check_kept, check_numbers, face_notes
from sage_ns.tracking.window import Window, head_window
from sage_ns.tracking.write import NO_CONSENT
from sage_ns.tracking.write_clip import TrackedClip, TrackedFrame, write_tracked_clip

_ROOM = 10.0
"""Degrees by which the first guess of the turn may be wrong: beyond the farthest turn and these, a frame is left out
before the fit."""


@dataclass(frozen=True)
class ClipOptions(SingleCameraOptions):
    """How to track a clip."""

    frames: int = MOST_FRAMES
    """Most frames."""
    start: float | None = None
    """Seconds at which the used part begins; None = at the beginning."""
    end: float | None = None
    """Seconds at which it ends; None = at the end."""
    refine: str | None = None
    """What follows the fit to landmarks; a name in `sage_ns.tracking.clip_refiners`. None = photometric, but for heads
    that are kept."""


def track_clip(
    options: ClipOptions, model: HeadModel, networks: Networks, say: Callable[[str], None] = lambda step: None
) -> TrackedClip:
    """Track a clip and write its capture: one camera at rest, before which the head turns.

    An interrupted run leaves the faces that it has found in the cache; the next run of the same clip goes on from
    there.

    Args:
        options: what to track.
        model: head model to fit.
        networks: what finds the face and the person.
        say: called with a line about every step before it starts.

    Raises:
        SageError: the clip, an option or what the clip shows cannot be used; says what to do. Nothing is written.
    """
    _check(options)
    refuse_used_folder(options.out.expanduser().absolute(), options.overwrite)
    clip = open_clip(options.input, options.start, options.end)
    start = starts[options.initialise].open(options.start_files, model, clip.frames_of_file)
    say("choosing sharp frames")
    frames = choose_frames(clip, options.frames)
    store = FoundFaces(clip)
    seen, left_out = follow(clip, frames, store.find(clip, frames, networks.detect), options.face)
    say("placing the landmarks on the head model")
    embedding = embedding_on(model, networks.detect)
    focal = usual_focal_length(*clip.size)
    if options.focal_mm is not None:
        focal = given_focal_length(options.focal_mm, clip.size)
    seen = _not_far(clip, seen, left_out, model, embedding, focal)
    say(f"fitting one head to {len(seen)} frames")
    begin = None if start is None else _first_heads(clip, seen, start, focal, embedding)
    seen, fit = _fitted(clip, seen, left_out, model, embedding, focal, begin, options.keep_heads)
    refiner = clip_refiners[_refinement(options)]
    say(f"refining the heads ({refiner.name})")
    refined = refiner.refine(_turning(clip, seen, fit, focal, model, embedding))
    fit = refined.fit
    found = focal.pixels * fit.focal_factor
    vertices = pose_vertices(model, fit.params)
    whole = Window(0, 0, *clip.size, 1).camera(found, clip.size)
    window = head_window(project(vertices.flatten(0, 1), whole).pixels.double().numpy(), clip.size, options.size)
    given = Foreground(networks.segment, plate=options.background)
    tracked, way, caveat = _cut_outs(clip, seen, left_out, fit, vertices, model, focal, window, whole, given)
    require_enough(clip, len(tracked), left_out)
    rows = torch.tensor([each.row for each in tracked])
    params = fit.params[rows]
    yaw = seen_at(torch.zeros(len(rows), 3), params, model).yaw
    result = TrackedClip(
        clip=clip,
        model=model,
        params=params,
        vertices=vertices[rows],
        yaw=yaw,
        frames=tuple(replace(each, row=index) for index, each in enumerate(tracked)),
        left_out=tuple(sorted(left_out, key=lambda each: each.frame.index)),
        focal=focal,
        focal_pixels=found,
        window=window,
        way=way,
        notes=(
            *_notes(fit, yaw, len(left_out), caveat),
            *((refined.note,) if refined.note else ()),
            *(() if start is None else start.notes),
            *(() if options.consent else (NO_CONSENT,)),
        ),
        consent=options.consent,
        refinement=refined.report,
    )
    say("writing the capture")
    write_tracked_clip(options.out.expanduser().absolute(), result)
    store.forget()
    return result


def _check(options: ClipOptions) -> None:
    """Refuse options that cannot be used, before anything is read."""
    check_numbers(options.size, options.focal_mm)
    low, high = RANGE_OF_FRAMES
    if not low <= options.frames <= high:
        raise OptionError(f"expected {low} to {high} frames", frames=options.frames)
    if options.background is not None:
        check_given_picture(options.background, "image")
    check_kept(options.keep_heads, options.refine)
    clip_refiners[_refinement(options)]  # refuses names that it does not know


def _refinement(options: ClipOptions) -> str:
    return options.refine or (LANDMARKS if options.keep_heads else PHOTOMETRIC)


def _turning(
    clip: Clip, seen: Sequence[SeenFrame], fit: JointFit, focal: FocalLength, model: HeadModel, embedding: Embedding
) -> TurningHead:
    """Return the fitted clip as refiners need it."""
    frames = [each.frame for each in seen]
    return TurningHead(
        fit=fit,
        sightings=[Sighting(moment, 0, each.face) for moment, each in enumerate(seen)],
        pictures=lambda: (picture for _, picture in pictures(clip, frames)),
        size=clip.size,
        times=torch.tensor([each.seconds for each in frames], dtype=torch.float64),
        focal=focal,
        model=model,
        embedding=embedding,
    )


def _not_far(
    clip: Clip,
    seen: Sequence[SeenFrame],
    left_out: list[LeftOut],
    model: HeadModel,
    embedding: Embedding,
    focal: FocalLength,
) -> list[SeenFrame]:
    """Return the frames whose face is not turned far away, by the place of its landmarks on the mean head."""
    rig, view = LandmarkRig(model, embedding), KnownCamera.at_rest(focal.pixels, clip.size).view()
    kept = []
    for each in seen:
        turned = turn(rig, placed(rig, each.face, embedding.weight.double(), view), view)
        if turned > FARTHEST_TURN + _ROOM:
            left_out.append(LeftOut(each.frame, f"the face is turned away by about {turned:.0f} degrees"))
        else:
            kept.append(each)
    require_enough(clip, len(kept), left_out)
    return kept


def _first_heads(
    clip: Clip, seen: Sequence[SeenFrame], start: Beginning, focal: FocalLength, embedding: Embedding
) -> Mapping[ClipFrame, FlameParams]:
    """Return the head of each frame that the fit begins with."""
    face = {each.frame: each.face for each in seen}
    sights = (
        Sight(picture, face[frame], focal.pixels, embedding, round(frame.seconds * clip.fps))
        for frame, picture in pictures(clip, list(face))
    )
    return dict(zip(face, start.heads(sights), strict=True))


def _fitted(
    clip: Clip,
    seen: list[SeenFrame],
    left_out: list[LeftOut],
    model: HeadModel,
    embedding: Embedding,
    focal: FocalLength,
    begin: Mapping[ClipFrame, FlameParams] | None,
    keep: bool,
) -> tuple[list[SeenFrame], JointFit]:
    """Return the frames that one head explains, and the fit to them: without the others, it is done again.

    Heads to begin with are given for each frame, or not at all; they may also be kept.
    """
    camera = KnownCamera.at_rest(focal.pixels, clip.size)
    while True:
        sightings = [Sighting(moment, 0, each.face) for moment, each in enumerate(seen)]
        times = torch.tensor([each.frame.seconds for each in seen], dtype=torch.float64)
        start = None if begin is None else one_person([begin[each.frame] for each in seen])
        if start is not None and keep:
            fit = keep_moments(sightings, [camera], model, embedding, start)
        else:
            fit = fit_moments(sightings, [camera], model, embedding, focal.spread, times, start=start)
        faults = [
            fault_of_fit(float(turned), float(rms), float(width))
            for turned, rms, width in zip(fit.turns, fit.rms, fit.face_widths, strict=True)
        ]
        if not any(faults):
            return seen, fit
        left_out += [LeftOut(each.frame, fault) for each, fault in zip(seen, faults, strict=True) if fault is not None]
        seen = [each for each, fault in zip(seen, faults, strict=True) if fault is None]
        require_enough(clip, len(seen), left_out)


def _cut_outs(
    clip: Clip,
    seen: Sequence[SeenFrame],
    left_out: list[LeftOut],
    fit: JointFit,
    vertices: torch.Tensor,
    model: HeadModel,
    focal: FocalLength,
    window: Window,
    whole: PinholeCamera,
    given: Foreground,
) -> tuple[list[TrackedFrame], str, str]:
    """Return the frames whose head can be cut out, how that was done, and its weak spots; the others are left out."""
    tracked, way, caveat = [], "", ""
    with progress_bar("finding the foreground") as bar:
        for row, (frame, picture) in enumerate(pictures(clip, [each.frame for each in seen])):
            bar(row, len(seen))
            photo = Photo(clip.path, np.ascontiguousarray(picture), None, focal, clip.sha256)
            try:
                cut = cut_out(photo, window, vertices[row], fit.points[row], model, whole, given)
            except TrackingError as error:
                left_out.append(LeftOut(frame, reason_alone(error)))
                continue
            tracked.append(_frame(row, seen[row], fit, cut))
            way, caveat = cut.way.name, cut.way.caveat
        bar(len(seen), len(seen))
    return tracked, way, caveat


def _frame(row: int, seen: SeenFrame, fit: JointFit, cut: CutOut) -> TrackedFrame:
    return TrackedFrame(
        row=row,
        frame=seen.frame,
        face=seen.face,
        points=fit.points[row],
        rms=float(fit.rms[row]),
        face_width=float(fit.face_widths[row]),
        turn=float(fit.turns[row]),
        picture=_bytes(cut.picture),
        matte=_bytes(cut.matte),
        on_white=_bytes(cut.on_white),
        hidden=None if cut.hidden is None else _bytes(cut.hidden),
    )


def reason_alone(error: TrackingError) -> str:
    """Return why a picture cannot be used, without its name and the advice for photos: a clip takes no mask."""
    return str(error).partition(": ")[2].partition(". ")[0]


def _bytes(values: np.ndarray) -> np.ndarray:
    """Return values 0..1 as bytes: floats of sixty frames would take a gigabyte."""
    return np.round(255 * values).astype(np.uint8)


def _notes(fit: JointFit, yaw: torch.Tensor, num_left_out: int, caveat: str) -> tuple[str, ...]:
    notes = []
    span = float(yaw.max() - yaw.min())
    if span < LEAST_SPAN:
        notes.append(
            f"The head turns by {span:.0f} degrees only, and sage-monocular refuses less than {LEAST_SPAN:.0f}: record "
            "a head that turns, or track one frame as a photo."
        )
    elif span < ENOUGH_SPAN:
        notes.append(
            f"The head turns by {span:.0f} degrees from side to side: the sides of the head will be guesses. Turn by "
            f"{ENOUGH_SPAN / 2:.0f} degrees or more to both sides when you record."
        )
    if num_left_out:
        notes.append(f"{num_left_out} frames are left out; tracking.json says why.")
    return (*notes, *face_notes(float(fit.face_widths.median()), 0.0, caveat))
