"""Generated motion: smooth, repeatable, and within the limits of a face, on rigs with and without names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sage_ns.errors import CaptureError
from sage_ns.motion.expression_walk import RATE, WIDEST_JAW, expression_walk
from sage_ns.motion.face.moves import face_moves
from sage_ns.rig import FlameParams, HeadModel, Regions, concatenate, pose_vertices
from sage_ns.rig.openings import eye_opening, mouth_opening
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model


@pytest.fixture(scope="module")
def named() -> HeadModel:
    return builtin_head()


@pytest.fixture(scope="module")
def nameless(named: HeadModel) -> HeadModel:
    """The built-in head's expressions mixed to components of usual size without names, as FLAME has them."""
    rng = np.random.default_rng(0)
    used = sum(not name.startswith("unused") for name in named.expression_names)
    turn, _ = np.linalg.qr(rng.normal(size=(used, used)))
    mixed = named.expression_basis.clone()
    mixed[..., :used] = named.expression_basis[..., :used] @ torch.from_numpy(0.4 * turn).float()
    return replace(named, expression_basis=mixed, expression_names=())


@pytest.fixture(scope="module", params=["named", "nameless"])
def model(request: pytest.FixtureRequest) -> HeadModel:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def walk(model: HeadModel) -> FlameParams:
    return concatenate([expression_walk(model, 120, seed).params for seed in range(3)])


def heights(model: HeadModel, params: FlameParams) -> np.ndarray:
    """Height of every vertex, with the head held still."""
    still = replace(params, neck_pose=0 * params.neck_pose, eyes_pose=0 * params.eyes_pose)
    return pose_vertices(model, still)[..., 1].numpy()


def test_openings_agree_with_posed_vertices(model: HeadModel) -> None:
    mouth = mouth_opening(model)
    assert mouth is not None and len(mouth.upper) >= 5
    rng = np.random.default_rng(1)
    expr, jaw = 0.3 * rng.random((4, model.num_expression)), np.array([0.0, 0.02, 0.05, 0.08])
    rows = torch.zeros(4, dtype=torch.int64)
    posed = replace(
        FlameParams.neutral(model)[rows],
        expr=torch.from_numpy(expr).float(),
        jaw_pose=torch.tensor([[j, 0.0, 0.0] for j in jaw]).float(),
    )
    y = heights(model, posed)
    np.testing.assert_allclose(y[:, mouth.upper] - y[:, mouth.lower], mouth.gap(expr, jaw), atol=6e-4)
    assert (mouth.per_radian > 0.04).all(), "the jaw carries the lower lip"
    for side, sign in (("left", 1), ("right", -1)):
        lids = eye_opening(model, side)
        assert lids is not None
        assert (lids.rest > 2e-3).all() and (lids.rest < 12e-3).all()
        assert (np.sign(model.v_template[lids.upper, 0].numpy()) == sign).all()
        np.testing.assert_allclose(lids.per_radian, 0.0, atol=1e-6)


def test_fitted_moves_agree_with_named_expressions(named: HeadModel, nameless: HeadModel) -> None:
    """On components that span named expressions: compared in millimetres with what those do."""
    moves = face_moves(nameless).moves
    basis = nameless.expression_basis.double().numpy()

    def moved(name: str, vertices: torch.Tensor) -> np.ndarray:
        return 1e3 * basis[vertices.numpy()] @ moves[name]

    for side in ("left", "right"):
        lids = eye_opening(nameless, side)
        assert lids is not None
        assert abs((lids.rest + lids.per_expression @ moves[f"blink_{side}"]).mean()) < 0.15 * lids.rest.mean()
    lips = named.regions.vertices("lips")
    corner = lips[named.v_template[lips, 0].topk(5).indices]
    other = lips[(-named.v_template[lips, 0]).topk(5).indices]
    smile = moved("mouth_smile_left", corner).mean(0)
    assert smile[0] > 2 and smile[1] > 2 and smile[2] < 0
    assert np.abs(moved("mouth_smile_left", other)).max() < 2
    assert moved("mouth_pucker", corner).mean(0)[0] < -3 < 3 < moved("mouth_pucker", other).mean(0)[0]
    assert moved("mouth_frown_right", other).mean(0)[1] < -2
    assert set(moves) >= {"brow_inner_raise", "brow_lower_left", "lips_part", "squint_right", "eye_wide_left"}


def test_the_same_seed_gives_the_same_motion(named: HeadModel) -> None:
    first, second, other = (expression_walk(named, 24, seed).vectors for seed in (5, 5, 6))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_the_motion_is_smooth(model: HeadModel) -> None:
    motion = expression_walk(model, 120, 3)
    assert motion.fps == RATE and motion.num_rows == 120
    params = motion.params
    for name, limit in (("jaw_pose", 0.12), ("neck_pose", 0.1), ("eyes_pose", 0.25)):
        steps = getattr(params, name).diff(dim=0).abs().max()
        assert steps < limit, name
    face = model.regions.vertices("face")
    rms = (model.expression_basis[face] @ params.expr.diff(dim=0).T).square().sum(1).mean(0).sqrt()
    assert rms.median() < 0.7e-3 and rms.max() < 2.5e-3


def test_the_motion_is_as_large_as_tracked_motion(model: HeadModel, walk: FlameParams) -> None:
    face = model.regions.vertices("face")
    rms = (model.expression_basis[face] @ walk.expr.T).square().sum(1).mean(0).sqrt()
    assert 0.7e-3 < rms.median() < 4e-3 and 1.5e-3 < rms.quantile(0.9) < 6e-3
    assert 0.2 < walk.jaw_pose[:, 0].max() <= WIDEST_JAW and walk.jaw_pose[:, 0].min() >= 0
    assert (walk.jaw_pose[:, 0] < 0.12).float().mean() > 0.5
    for name, size in (("neck_pose", 0.1), ("eyes_pose", 0.15)):
        assert getattr(walk, name).abs().max() > size, name
    assert not walk.rotation.any() and not walk.translation.any()
    moving = model.expression_basis.abs().amax((0, 1)) > 0
    assert (walk.expr.std(0)[moving] > 0.02).all() and not walk.expr[:, ~moving].any()


def test_named_expressions_stay_in_their_range(named: HeadModel) -> None:
    expr = expression_walk(named, 120, 0).params.expr
    assert expr.min() >= -0.3 and expr.max() <= 1.3
    blinks = [index for index, name in enumerate(named.expression_names) if name.startswith("blink")]
    others = [index for index in range(named.num_expression) if index not in blinks]
    assert expr[:, others].min() >= 0 and expr[:, others].max() <= 1


def test_lips_do_not_pass_through_each_other_and_eyes_close(model: HeadModel, walk: FlameParams) -> None:
    y = heights(model, walk)
    mouth = mouth_opening(model)
    assert mouth is not None
    assert (y[:, mouth.upper] - y[:, mouth.lower]).min() > min(mouth.rest.min(), 0.0) - 1e-3
    for side in ("left", "right"):
        lids = eye_opening(model, side)
        assert lids is not None
        share = (y[:, lids.upper] - y[:, lids.lower]).mean(1) / lids.rest.mean()
        assert share.min() > -0.1, "lids overlap"
        assert share.min() < 0.05, "eyes never close"
        assert 0.03 < (share < 0.15).mean() < 0.3
        assert np.median(share) > 0.6


def test_rigs_without_regions_still_move() -> None:
    bare = replace(tiny_head_model(), regions=Regions())
    params = expression_walk(bare, 30, 0).params
    assert params.expr.abs().max() > 0.1 and params.jaw_pose[:, 0].max() > 0.05
    assert torch.isfinite(params.motion_vector()).all()
    assert torch.isfinite(expression_walk(tiny_head_model(), 1, 0).vectors).all()


def test_zero_moments_are_refused(named: HeadModel) -> None:
    with pytest.raises(CaptureError, match="num_timesteps"):
        expression_walk(named, 0)
