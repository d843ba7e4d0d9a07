"""From pictures of one moment by several cameras to a capture: the steps in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.writer import refuse_used_folder
from sage_ns.errors import OptionError, TrackingError
from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.system.progress import progress_bar
from sage_ns.tracking.cameras.aim import check_aim
from sage_ns.tracking.cameras.files import find_cameras, read_cameras
from sage_ns.tracking.cameras.pictures import pictures_of, with_pictures
from sage_ns.tracking.cameras.rig_camera import CameraRig, RigCamera
from sage_ns.tracking.cameras.unknown import check_can_solve, solve_cameras
from sage_ns.tracking.cameras.view import load_view
from sage_ns.tracking.choice import LARGEST, choose_face
from sage_ns.tracking.cut_out import Foreground, cut_out
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face
from sage_ns.tracking.options import TrackingOptions
from sage_ns.tracking.rig_embedding import embedding_on
from sage_ns.tracking.rig_fit import fit_rig
from sage_ns.tracking.skin_points import Sight, skin_points
from sage_ns.tracking.track_photo import Networks, check_numbers
from sage_ns.tracking.window import head_window
from sage_ns.tracking.write import NO_CONSENT
from sage_ns.tracking.write_rig import TrackedRig, TrackedView, write_rig

_LEAST_SEEN = 0.3
"""Share of the head that a camera must have in its picture."""
_ALL = 0.999
_SPOTS_SIZE = 1000
"""Most pixels of the longer side of the pictures in which spots of the skin are looked for."""


@dataclass(frozen=True)
class RigOptions(TrackingOptions):
    """How to track the pictures of one moment."""

    cameras: Path | None = None
    """File or folder that states the cameras; None = what lies beside the pictures, else COLMAP finds them."""


def track_rig(
    options: RigOptions, model: HeadModel, networks: Networks, say: Callable[[str], None] = lambda step: None
) -> TrackedRig:
    """Track the pictures of one moment and write their capture.

    Args:
        options: what to track.
        model: head model to fit.
        networks: what finds faces and people.
        say: called with a line about every step before it starts.

    Raises:
        SageError: the pictures, their cameras or an option cannot be used; says what to do. Nothing is written.
    """
    _check(options)
    out = options.out.expanduser().absolute()
    refuse_used_folder(out, options.overwrite)
    rig, cameras, notes = _cameras(options, networks, say)
    faces, verdicts = _faces(cameras, options, networks)
    say("placing the landmarks on the head model")
    embedding = embedding_on(model, networks.detect)
    say(f"fitting the head to {len(faces)} faces")
    find_skin = partial(_skin, model)
    fit = fit_rig(cameras, faces, model, embedding, rig.metres_per_unit, rig.source, find_skin)
    verdicts |= fit.rejected
    verdicts |= {row: "used" for row in fit.used}
    vertices = pose_vertices(model, fit.params)[0]
    views, left_out = _views(fit.cameras, faces, verdicts, vertices, model, embedding, options, networks)
    caveats = {each.cut.way.caveat for each in views} - {""}
    notes = [*notes, *(f"{name} is left out: {reason}." for name, reason in left_out.items()), *sorted(caveats)]
    consent = () if options.consent else (NO_CONSENT,)
    tracked = TrackedRig(rig, model, fit, vertices, views, left_out, (*notes, *consent), options.consent)
    say("writing the capture")
    write_rig(out, tracked)
    return tracked


def _check(options: RigOptions) -> None:
    """Refuse options that cannot be used, before anything is read."""
    check_numbers(options.size, options.focal_mm)
    if options.face not in (None, LARGEST):
        raise OptionError(f"expected {LARGEST}: a number means another face in every picture", face=options.face)
    if not options.input.is_dir():
        raise TrackingError(f"{options.input} is no folder; give a folder with one picture per camera.")


def _cameras(
    options: RigOptions, networks: Networks, say: Callable[[str], None]
) -> tuple[CameraRig, list[RigCamera], list[str]]:
    """Return the cameras with their pictures: stated, or found by COLMAP; and notes."""
    folder = options.input
    rig = find_cameras(folder) if options.cameras is None else read_cameras(options.cameras)
    if rig is not None:
        if options.focal_mm is not None:
            raise OptionError(f"{rig.source} states the cameras; leave the focal length out", focal_mm=options.focal_mm)
        cameras, notes = with_pictures(rig, folder)
        check_aim(cameras, rig.source)
        return rig, cameras, notes
    pictures = pictures_of(folder)
    check_can_solve(pictures, folder)
    say("finding the cameras with COLMAP: some minutes")
    with progress_bar("preparing pictures for COLMAP") as bar:
        rig, notes = solve_cameras(pictures, folder, networks.segment, options.focal_mm, bar)
    return rig, list(rig.cameras), notes


def _faces(cameras: list[RigCamera], options: RigOptions, networks: Networks) -> tuple[dict[int, Face], dict[int, str]]:
    """Return the face in each picture by row of the camera, and why there is none in others.

    The cameras lose their lenses: the pictures are straightened here and whenever they are read again.
    """
    faces: dict[int, Face] = {}
    verdicts: dict[int, str] = {}
    with progress_bar("looking for faces") as bar:
        for row, camera in enumerate(cameras):
            view = load_view(camera)
            try:
                faces[row] = choose_face(networks.detect(view.photo.pixels), options.face, str(camera.picture))
            except TrackingError as error:
                verdicts[row] = str(error).removeprefix(f"{camera.picture}: ").partition(". ")[0]
            bar(row + 1, len(cameras))
    if not faces:
        raise TrackingError(
            f"{options.input}: none of the {len(cameras)} pictures shows a face that can be tracked. In "
            f"{cameras[0].picture}: {verdicts[0]}. Give pictures from the front, upright, in light."
        )
    return faces, verdicts


def _skin(model: HeadModel, cameras: Sequence[RigCamera], params: FlameParams) -> Float[np.ndarray, "num_points 3"]:
    """Return points on the skin, from all pictures that show the head."""
    vertices = pose_vertices(model, params)[0]
    sights = []
    with progress_bar("looking for spots on the skin") as bar:
        for row, camera in enumerate(cameras):
            bar(row + 1, len(cameras))
            assert camera.size is not None
            seen = project(vertices, camera.pinhole(camera.size))
            if float(seen.inside.double().mean()) < _LEAST_SEEN:
                continue
            window = head_window(seen.pixels.double().numpy(), camera.size, _SPOTS_SIZE)
            picture = np.round(window.cut(load_view(camera).photo.pixels)).astype(np.uint8)
            sights.append(Sight(picture, window.crop(camera.pinhole(camera.size))))
    return skin_points(sights, vertices, model)


def _views(
    cameras: Sequence[RigCamera],
    faces: dict[int, Face],
    verdicts: dict[int, str],
    vertices: Tensor,
    model: HeadModel,
    embedding: Embedding,
    options: RigOptions,
    networks: Networks,
) -> tuple[tuple[TrackedView, ...], dict[str, str]]:
    """Cut the head out of every picture that shows it."""
    places = embedding.points(vertices, model.triangles)
    views, left_out = [], {}
    with progress_bar("finding the foreground") as bar:
        for row, camera in enumerate(cameras):
            bar(row, len(cameras))
            assert camera.picture is not None and camera.size is not None
            pinhole = camera.pinhole(camera.size)
            share = float(project(vertices, pinhole).inside.double().mean())
            if share < _LEAST_SEEN:
                left_out[camera.picture.name] = f"its camera sees {share:.0%} of the head"
                continue
            view = load_view(camera)
            window = head_window(project(vertices, pinhole).pixels.double().numpy(), camera.size, options.size)
            points = project(places, pinhole).pixels
            given = Foreground(networks.segment, view.mask, mask_file=camera.mask)
            cut = cut_out(view.photo, window, vertices, points, model, pinhole, given)
            if view.shown is not None:
                cut = cut.within(window.cut(view.shown) > _ALL)
            views.append(TrackedView(view, faces.get(row), verdicts.get(row, ""), window, cut, points))
        bar(len(cameras), len(cameras))
    return tuple(views), left_out
