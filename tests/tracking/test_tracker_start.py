"""A fit that begins at another tracker's heads: they are placed exactly where a camera would see them, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sage_ns.capture.tracker_files import TrackedHeads
from sage_ns.errors import OptionError, TrackingError
from sage_ns.geometry import axis_angle_to_matrix
from sage_ns.geometry.rotations import degrees_between, matrix_to_axis_angle, turn_between
from sage_ns.rig import FlameParams
from sage_ns.rig.flame_params import concatenate
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking.face import Face
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.joint_fit import KnownCamera, Sighting, keep_moments
from sage_ns.tracking.landmark_fit import keep_head
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.sight import Sight
from sage_ns.tracking.starts import StartFiles, one_person, starts
from sage_ns.tracking.tracker_start import TrackerBeginning
from tests.tracking.known_head import FOCAL, SIZE, face_of, face_seen, random_embedding, seen_head
from tests.tracking.test_landmark_fit import CENTER, truth

AHEAD = torch.tensor([0.0, 0.0, -1.0]).double()
MODEL = builtin_head()
EMBEDDING = random_embedding(MODEL)
RIG = LandmarkRig(MODEL, EMBEDDING, CENTER)
PICTURE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


@pytest.fixture(autouse=True)
def any_head_is_flame(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in head has landmarks; FLAME is not at hand."""
    monkeypatch.setattr("sage_ns.capture.tracker_files.registry.check_flame", lambda *_: None)


def tracked(params: FlameParams, place: str = "room") -> TrackedHeads:
    count = params.num_timesteps
    return TrackedHeads(
        params, torch.zeros(count, 2), torch.arange(count), Path("heads.pt"), "SHeaP", "CC BY-NC 4.0", "2020",
        place=place,  # type: ignore[arg-type]
    )  # fmt: skip


def sight(face: Face, frame: int | None = None) -> Sight:
    return Sight(PICTURE, face, FOCAL, EMBEDDING, frame)


def at_the_side(seed: int) -> Tensor:
    """A person in the right part of the picture, 13 degrees from the optical axis."""
    x = seen_head(RIG, seed)
    x[RIG.unknowns.translation] = torch.tensor([0.14, -0.05, -0.6]).double()
    return x


def toward(x: Tensor) -> Tensor:
    """The direction in which the camera sees the face."""
    middle = RIG.points(x).mean(dim=0)
    return middle / middle.norm()


def by_camera(params: FlameParams, turn: Tensor) -> FlameParams:
    """The same head before a camera at the same place that is turned; FLAME's head turns about its root joint."""
    joint = MODEL.joint_regressor[0] @ (MODEL.v_template + MODEL.shape_basis @ params.shape)
    turn = turn.float()
    return replace(
        params,
        rotation=matrix_to_axis_angle(turn @ axis_angle_to_matrix(params.rotation)),
        translation=(params.translation + joint) @ turn.T - joint,
    )


def same(x: Tensor) -> TrackedHeads:
    return tracked(truth(RIG, x, MODEL))


def crop(x: Tensor) -> TrackedHeads:
    """A crop's camera looks at the face, and its shorter focal length shows it from a tenth nearer."""
    turned = by_camera(truth(RIG, x, MODEL), turn_between(toward(x), AHEAD))
    return tracked(replace(turned, translation=turned.translation + torch.tensor([0.0, 0.0, 0.06])), "crop")


def parallel(x: Tensor) -> TrackedHeads:
    turned = by_camera(truth(RIG, x, MODEL), turn_between(toward(x), AHEAD))
    return tracked(replace(turned, translation=torch.zeros(1, 3)), "none")


@pytest.mark.parametrize("camera", [same, crop, parallel])
def test_a_head_is_placed_where_the_picture_shows_it(camera: Callable[[Tensor], TrackedHeads]) -> None:
    x = at_the_side(3)
    expected = truth(RIG, x, MODEL)
    start = TrackerBeginning(camera(x), MODEL, None)
    (found,) = start.heads([sight(face_seen(RIG, x))])
    off = degrees_between(axis_angle_to_matrix(found.rotation), axis_angle_to_matrix(expected.rotation))
    assert float(off) < (0.1 if camera is same else 0.5)
    torch.testing.assert_close(found.translation, expected.translation, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.shape, expected.shape)
    torch.testing.assert_close(found.expr, expected.expr)
    assert "SHeaP found (heads.pt)" in start.notes[0] and "CC BY-NC" in start.notes[0] and len(start.notes) == 1


def test_the_neck_is_a_part_of_the_turn() -> None:
    x = at_the_side(4)
    expected = truth(RIG, x, MODEL)
    neck = torch.tensor([[0.0, 0.3, 0.1]])
    without = axis_angle_to_matrix(expected.rotation) @ axis_angle_to_matrix(neck).mT
    split = replace(expected, rotation=matrix_to_axis_angle(without), neck_pose=neck)
    (found,) = TrackerBeginning(tracked(split, "none"), MODEL, None).heads([sight(face_seen(RIG, x))])
    seen = turn_between(AHEAD, toward(x)) @ axis_angle_to_matrix(expected.rotation[0].double())
    assert float(degrees_between(axis_angle_to_matrix(found.rotation[0].double()), seen)) < 0.5
    assert not found.neck_pose.any()


def mirrored(face: Face) -> Face:
    return face_of(face.points[:, :2] * torch.tensor([-1.0, 1.0]) + torch.tensor([SIZE[0], 0.0]), face.points[:, 2])


def test_heads_of_other_pictures_are_refused() -> None:
    x = seen_head(RIG, 5, turn=0.1)
    params = truth(RIG, x, MODEL)
    upside_down = replace(params, rotation=torch.tensor([[0.0, 0.0, 3.1]]))
    away = replace(params, rotation=torch.tensor([[0.0, 1.5, 0.0]]))
    for heads, face in (
        (upside_down, face_seen(RIG, x)),
        (away, face_seen(RIG, x)),
        (params, mirrored(face_seen(RIG, x))),
    ):
        with pytest.raises(TrackingError, match=r"heads.pt: head 0 misses the landmarks of the face .*expected at"):
            TrackerBeginning(tracked(heads, "none"), MODEL, None).heads([sight(face)])
    behind = replace(params, translation=torch.tensor([[0.0, 0.0, 0.6]]))
    with pytest.raises(TrackingError, match=r"head 0 lies behind the camera \(z = \+0\.\d"):
        TrackerBeginning(tracked(behind), MODEL, None).heads([sight(face_seen(RIG, x))])


def test_frames_of_a_clip_have_heads_of_their_own_and_lost_ones_begin_at_the_landmarks() -> None:
    seen = [at_the_side(6) for _ in range(4)]
    for frame, x in enumerate(seen):
        x[RIG.unknowns.rotation] = torch.tensor([0.0, 0.2 * frame - 0.3, 0.0]).double()
    heads = [truth(RIG, x, MODEL) for x in seen]
    lost = replace(heads[1], rotation=torch.tensor([[0.0, 0.0, 3.0]]))
    file = tracked(replace(concatenate([heads[0], lost, heads[2], heads[3]]), shape=heads[0].shape))
    start = TrackerBeginning(file, MODEL, 4)
    found = one_person(start.heads(sight(face_seen(RIG, seen[frame]), frame) for frame in (0, 1, 3)))
    off = degrees_between(
        axis_angle_to_matrix(found.rotation),
        axis_angle_to_matrix(torch.cat([heads[each].rotation for each in (0, 1, 3)])),
    )
    assert off[0] < 0.1 and off[2] < 0.1 and off[1] < 25
    torch.testing.assert_close(found.shape, heads[0].shape)
    assert "At 1 of 3 frames" in start.notes[1]


def test_heads_can_be_kept_as_they_are() -> None:
    """The landmarks are those of a head that is turned otherwise; only the place follows them."""
    x = at_the_side(8)
    expected, face = truth(RIG, x, MODEL), face_seen(RIG, x)
    known = FocalLength(FOCAL, 0.0, "given")
    turned = matrix_to_axis_angle(
        axis_angle_to_matrix(torch.tensor([[0.0, 0.05, 0.0]])) @ axis_angle_to_matrix(expected.rotation)
    )
    beginning = TrackerBeginning(tracked(replace(expected, rotation=turned), "room"), MODEL, None, kept=True)
    (head,) = beginning.heads([sight(face)])
    fit = keep_head(face, MODEL, EMBEDDING, known, SIZE, head)
    off = degrees_between(axis_angle_to_matrix(fit.params.rotation), axis_angle_to_matrix(turned))
    assert float(off) < 1.0 and fit.focal == pytest.approx(FOCAL)
    torch.testing.assert_close(fit.params.shape, expected.shape)
    assert 0 < fit.disagreement < 0.02
    assert "placed on the landmarks and not fitted" in beginning.notes[0]
    lost = replace(expected, rotation=torch.tensor([[0.0, 0.0, 3.0]]))
    heads = concatenate([expected, expected, lost])
    clip = TrackerBeginning(tracked(replace(heads, shape=expected.shape)), MODEL, 3, kept=True)
    kept = one_person(clip.heads(sight(face, frame) for frame in range(3)))
    cameras = [KnownCamera.at_rest(FOCAL, SIZE)]
    found = keep_moments([Sighting(moment, 0, face) for moment in range(3)], cameras, MODEL, EMBEDDING, kept)
    assert (found.disagreement[:2] < 0.01).all() and found.disagreement[2] > 0.08  # left out by its landmarks
    assert "1 of 3 frames" in clip.notes[1] and "these are left out" in clip.notes[1]


def test_counts_that_do_not_fit_are_refused() -> None:
    params = truth(RIG, seen_head(RIG, 7), MODEL)
    three = tracked(concatenate([params] * 3))
    with pytest.raises(TrackingError, match=r"heads.pt: found 3 heads, expected 1 for a photo"):
        TrackerBeginning(three, MODEL, None)
    with pytest.raises(TrackingError, match="found 3 heads, expected 30, one for each frame of the clip"):
        TrackerBeginning(three, MODEL, 30)
    TrackerBeginning(three, MODEL, 5)  # programs count frames differently
    unknown = TrackerBeginning(three, MODEL, 0)
    with pytest.raises(TrackingError, match=r"found 3 heads, expected one for each frame .* has a frame 9"):
        unknown.heads([sight(face_seen(RIG, seen_head(RIG, 7)), 9)])


def test_the_start_needs_its_file_and_no_other(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"--tracker-file PATH. PATH is a folder of Pixel3DMM's"):
        starts["tracker"].open(StartFiles(), MODEL)
    with pytest.raises(OptionError, match="only the heads of --initialise tracker can be kept"):
        starts["landmarks"].open(StartFiles(keep_heads=True), MODEL)
    with pytest.raises(TrackingError, match="is used by --initialise predictor alone"):
        starts["tracker"].open(StartFiles(tmp_path / "p.npz", tmp_path / "heads.pt"), MODEL)
