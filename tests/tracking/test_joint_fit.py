"""Heads at several moments, seen by one or more cameras, are found again together; quick movements stay."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sage_ns.errors import OptionError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking.arrow_system import ArrowSystem
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.joint_fit import JointFit, KnownCamera, Sighting, fit_moments
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.smoothness import Smoothness
from tests.tracking.known_head import FOCAL, SIZE, face_seen, random_embedding, seen_head

CAMERA = KnownCamera.at_rest(FOCAL, SIZE)


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return builtin_head()


@pytest.fixture(scope="module")
def embedding(model: HeadModel) -> Embedding:
    return random_embedding(model)


@pytest.fixture(scope="module")
def rig(model: HeadModel, embedding: Embedding) -> LandmarkRig:
    return LandmarkRig(model, embedding)


def person(rig: LandmarkRig, yaws: Sequence[float]) -> Tensor:
    """One person at moments with different rotations and jaws."""
    rows = seen_head(rig, 1).repeat(len(yaws), 1)
    rows[:, rig.unknowns.focal] = 0.0
    rows[:, rig.unknowns.rotation.start + 1] = torch.tensor(yaws).double()
    rows[:, rig.unknowns.jaw.start] = 0.1 * torch.arange(len(yaws)).double() / len(yaws)
    return rows


def rotation_errors(fit: JointFit, rows: Tensor) -> Tensor:
    """Degrees, by moment."""
    off = axis_angle_to_matrix(fit.params.rotation.double()) @ axis_angle_to_matrix(rows[:, :3]).mT
    return torch.rad2deg(torch.acos(((off.diagonal(dim1=-2, dim2=-1).sum(dim=-1) - 1) / 2).clamp(-1, 1)))


def surface_error(fit: JointFit, rig: LandmarkRig, rows: Tensor, model: HeadModel) -> float:
    """Largest distance of corresponding vertices of the face at rest, in millimetres."""
    face = model.regions.vertices("face")
    truth = rig.params(rows).shape.float()
    found, true = (
        model.shape_basis[face][..., : len(shape)] @ shape for shape in (fit.params.shape[: len(truth)], truth)
    )
    return 1e3 * float((found - true).norm(dim=-1).max())


def test_one_person_is_found_in_a_turning_head(model: HeadModel, embedding: Embedding, rig: LandmarkRig) -> None:
    rows = person(rig, [-0.5, 0.1, 0.6])
    sightings = [Sighting(moment, 0, face_seen(rig, x, view=CAMERA.view())) for moment, x in enumerate(rows)]
    guess = KnownCamera.at_rest(0.9 * FOCAL, SIZE)
    fit = fit_moments(sightings, [guess], model, embedding, focal_spread=0.35, error=5e-4)
    assert float(rotation_errors(fit, rows).max()) < 0.1
    assert fit.focal_factor == pytest.approx(1 / 0.9, rel=0.01)
    assert surface_error(fit, rig, rows, model) < 0.5
    assert fit.params.num_timesteps == 3 and float(fit.rms.max()) < 0.1
    torch.testing.assert_close(fit.params.jaw_pose[:, 0].double(), rows[:, rig.unknowns.jaw.start], atol=0.02, rtol=0)
    assert 25 < float(fit.turns[0]) < 40 and fit.disagreement.shape == (3,)


def test_known_cameras_give_the_size_of_the_head(model: HeadModel, embedding: Embedding, rig: LandmarkRig) -> None:
    x = person(rig, [0.1])
    cameras = []
    for yaw in (-0.5, 0.0, 0.5):
        pose = torch.eye(4).double()
        pose[:3, :3] = axis_angle_to_matrix(torch.tensor([0.0, yaw, 0.0]).double())
        middle = rig.points(x[0]).mean(dim=0)
        pose[:3, 3] = middle + 0.8 * pose[:3, 2]
        cameras.append(KnownCamera(pose, FOCAL, 1.1 * FOCAL, 290.0, 405.0))
    sightings = [Sighting(0, row, face_seen(rig, x[0], view=each.view())) for row, each in enumerate(cameras)]
    fit = fit_moments(sightings, cameras, model, embedding, error=5e-4)
    assert float(rotation_errors(fit, x)[0]) < 0.1
    truth = FlameParams(**{k: v.float() for k, v in vars(rig.params(x)).items() if v is not None}).check_fits(model)
    face = model.regions.vertices("face")
    found, true = (pose_vertices(model, each)[0, face] for each in (fit.params, truth))
    assert float((found - true).norm(dim=-1).mean()) < 2e-4


def test_a_blink_of_one_frame_survives_smoothing(model: HeadModel, embedding: Embedding, rig: LandmarkRig) -> None:
    rows = person(rig, [0.01 * frame for frame in range(6)])
    rows[:, rig.unknowns.jaw] = 0.0
    blink = rig.unknowns.expression.start
    rows[:, rig.unknowns.expression] = 0.0
    rows[4, blink] = 1.8
    seen = [face_seen(rig, x, noise=1.5, seed=seed, view=CAMERA.view()) for seed, x in enumerate(rows)]
    sightings = [Sighting(moment, 0, face) for moment, face in enumerate(seen)]
    free = fit_moments(sightings, [CAMERA], model, embedding, error=0.01)
    smooth = fit_moments(sightings, [CAMERA], model, embedding, times=torch.arange(6) / 30, error=0.01)
    rise = [float(fit.params.expr[4, 0] - fit.params.expr[[3, 5], 0].mean()) for fit in (free, smooth)]
    assert rise[0] > 0.8 and rise[1] > 0.9 * rise[0]
    calm = [float(fit.params.expr[:4].std(dim=0).mean()) for fit in (free, smooth)]
    assert calm[1] < 0.5 * calm[0]
    assert float(rotation_errors(smooth, rows).max()) < 0.6


def test_an_arrow_is_solved_as_the_whole_matrix_is() -> None:
    generator = torch.Generator().manual_seed(0)
    count, own, shared = 5, 4, 3

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).double()

    half = draw(count, own, own)
    system = ArrowSystem(
        20 * torch.eye(shared).double(),
        draw(count, own, shared),
        half @ half.mT + 9 * torch.eye(own),
        draw(count, own),
        draw(count, own),
        draw(shared),
        draw(count, own),
    )
    whole = torch.zeros(shared + count * own, shared + count * own).double()
    whole[:shared, :shared] = system.shared
    for t in range(count):
        at = slice(shared + t * own, shared + (t + 1) * own)
        whole[at, at] = system.blocks[t]
        whole[at, :shared] = system.border[t]
        whole[:shared, at] = system.border[t].T
        for ahead, rows in ((1, system.next), (2, system.next_but_one)):
            if t + ahead < count:
                later = slice(at.start + ahead * own, at.stop + ahead * own)
                whole[later, at] = whole[at, later] = torch.diag(rows[t])
    whole += 0.1 * torch.diag(whole.diagonal())
    steps = torch.cat([each.flatten() for each in system.solve(0.1)])
    slope = torch.cat([system.slope_shared, system.slope.flatten()])
    torch.testing.assert_close(steps, torch.linalg.solve(whole, -slope))
    empty = ArrowSystem(
        system.shared, system.border, -system.blocks, *(vars(system)[k] for k in list(vars(system))[3:])
    )
    assert bool(empty.solve(0.1)[0].isnan().all())


def test_the_normal_equations_of_smoothness_are_those_of_its_residuals() -> None:
    times = torch.tensor([0.0, 0.1, 0.3, 0.35, 0.6])
    terms = Smoothness.over(times, slice(0, 6), slice(6, 9), slice(15, None), 18)
    x = torch.randn(5, 18, generator=torch.Generator().manual_seed(0)).double()
    jacobian = torch.func.jacfwd(lambda flat: terms.residuals(flat.reshape(5, 18)))(x.flatten())
    residuals = terms.residuals(x)
    full = [torch.zeros(5, 18).double() for _ in range(4)]
    terms.add_normal(torch.full_like(residuals, 2.0), residuals, full[:3], full[3])
    normal = 2 * jacobian.T @ jacobian
    torch.testing.assert_close(full[3].flatten(), 2 * jacobian.T @ residuals)
    torch.testing.assert_close(full[0].flatten(), normal.diagonal())
    torch.testing.assert_close(full[1][:4].flatten(), normal.diagonal(18))
    torch.testing.assert_close(full[2][:3].flatten(), normal.diagonal(36))
    assert math.isclose(
        float(normal.diagonal(36).abs().sum() + normal.diagonal(1).abs().sum()), float(full[2][:3].abs().sum())
    )


@pytest.mark.parametrize(
    ("moments", "camera", "times", "message"),
    [
        ([], 0, None, "at least one sighting"),
        ([0, 2], 0, None, "every moment from 0 to 2"),
        ([0], 1, None, "one of 1 cameras"),
        ([0, 1], 0, [0.0], "one time for each of 2 moments"),
        ([0, 1], 0, [0.1, 0.1], "seconds that rise"),
    ],
)
def test_sightings_that_do_not_fit_together_are_refused(
    model: HeadModel, embedding: Embedding, rig: LandmarkRig, moments: list[int], camera: int, times, message: str
) -> None:
    face = face_seen(rig, person(rig, [0.0])[0], view=CAMERA.view())
    sightings = [Sighting(moment, camera, face) for moment in moments]
    seconds = None if times is None else torch.tensor(times)
    with pytest.raises(OptionError, match=message):
        fit_moments(sightings, [CAMERA], model, embedding, times=seconds)
