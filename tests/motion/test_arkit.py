"""ARKit's coefficients: every name moves its part of the face or is listed as without effect; bad names are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.motion.face.arkit import ARKIT_NAMES, JAW_OPEN, LOOK_UP_DOWN, ArkitError, ArkitMap, arkit_motion
from sage_ns.rig import FlameParams, HeadModel, load_head_model, pose_vertices
from sage_ns.rig.openings import eye_opening, mouth_opening
from sage_ns.synthetic.head import builtin_head
from sage_ns.system.safe_pickle import load_pickle
from tests.tiny import tiny_head_model

NAMED = builtin_head()
WITHOUT_NAMES = replace(NAMED, expression_names=())
"""The same geometry without names, as in FLAME: moves must be fitted."""


def vertex_moves(model: HeadModel, **coefficients: float) -> torch.Tensor:
    posed = pose_vertices(model, arkit_motion(coefficients, model))
    return (posed - pose_vertices(model, FlameParams.neutral(model)))[0]


def region_mean(model: HeadModel, moves: torch.Tensor, region: str, side: int = 0) -> torch.Tensor:
    """Mean displacement of a region's vertices on the side with the given sign of x."""
    vertices = model.regions.vertices(region)
    if side:
        vertices = vertices[model.v_template[vertices, 0] * side > 0.005]
    return moves[vertices].mean(0)


def test_there_are_52_names() -> None:
    assert len(set(ARKIT_NAMES)) == len(ARKIT_NAMES) == 52


@pytest.mark.parametrize(
    ("model", "nothing"),
    [
        (NAMED, {"mouthPressLeft", "mouthPressRight", "tongueOut"}),
        (
            WITHOUT_NAMES,
            {
                *("mouthPressLeft", "mouthPressRight", "tongueOut", "jawForward", "cheekPuff", "mouthShrugLower"),
                *("cheekSquintLeft", "cheekSquintRight"),
            },
        ),
    ],
)
def test_every_name_moves_the_face_or_is_listed(model: HeadModel, nothing: set[str]) -> None:
    arkit = ArkitMap.of(model)
    assert set(arkit.not_representable) == nothing
    for name in ARKIT_NAMES:
        moved = vertex_moves(model, **{name: 1.0}).norm(dim=-1).max()
        if name in nothing or name == "mouthClose":
            assert moved == 0, name
        else:
            assert moved > 1e-3, name


@pytest.mark.parametrize("model", [NAMED, WITHOUT_NAMES])
def test_left_is_the_faces_own(model: HeadModel) -> None:
    for side, sign in (("Left", 1), ("Right", -1)):
        smile = vertex_moves(model, **{f"mouthSmile{side}": 1.0})
        assert region_mean(model, smile, "lips", sign)[1] > 3 * region_mean(model, smile, "lips", -sign)[1].abs()
        aside = vertex_moves(model, **{f"jaw{side}": 1.0})
        chin = model.skinning_weights[:, 2] > 0.9
        assert aside[chin, 0].mean() * sign > 0.004
        lips = vertex_moves(model, **{f"mouth{side}": 1.0})
        assert region_mean(model, lips, "lips")[0] * sign > 0.002
    brows = vertex_moves(model, browInnerUp=1.0)
    assert brows[model.regions.vertices("forehead"), 1].max() > 0.002


def test_eyes_turn_in_the_named_direction() -> None:
    pupil = {side: NAMED.regions.vertices(f"{side}_eyeball")[0] for side in ("left", "right")}
    for name, side, axis, sign in (
        ("eyeLookUpLeft", "left", 1, 1), ("eyeLookDownRight", "right", 1, -1), ("eyeLookOutLeft", "left", 0, 1),
        ("eyeLookInLeft", "left", 0, -1), ("eyeLookOutRight", "right", 0, -1), ("eyeLookInRight", "right", 0, 1),
    ):  # fmt: skip
        moved = vertex_moves(NAMED, **{name: 1.0})
        other = "right" if side == "left" else "left"
        assert moved[pupil[side], axis] * sign > 0.003, name
        assert moved[pupil[other]].norm() < 1e-6, name
    params = arkit_motion({"eyeLookUpLeft": 0.5}, NAMED)
    assert params.eyes_pose[0, 0] == pytest.approx(-0.5 * LOOK_UP_DOWN)


def test_jaw_opens_unless_the_lips_are_closed() -> None:
    assert arkit_motion({"jawOpen": 0.5}, NAMED).jaw_pose.tolist()[0] == pytest.approx([0.5 * JAW_OPEN, 0, 0])
    assert arkit_motion({"jawOpen": 0.5, "mouthClose": 0.2}, NAMED).jaw_pose[0, 0] == pytest.approx(0.3 * JAW_OPEN)
    assert not arkit_motion({"jawOpen": 0.2, "mouthClose": 0.5}, NAMED).jaw_pose.any()
    opening = mouth_opening(NAMED)
    assert opening is not None
    expr = arkit_motion({"jawOpen": 1.0}, NAMED).expr.double().numpy()
    assert opening.gap(expr, np.array([JAW_OPEN])).mean() > 0.015


@pytest.mark.parametrize("model", [NAMED, WITHOUT_NAMES])
def test_a_blink_closes_the_eye_whatever_else_the_lids_do(model: HeadModel) -> None:
    opening = eye_opening(model, "left")
    assert opening is not None
    for others in ({}, {"eyeSquintLeft": 1.0}, {"eyeWideLeft": 1.0}):
        expr = arkit_motion({"eyeBlinkLeft": 1.0, **others}, model).expr.double().numpy()
        gap = opening.gap(expr, np.zeros(1)).mean()
        assert abs(gap) < 0.15 * opening.rest.mean(), others


def test_rigs_that_name_arkits_shapes_get_the_coefficients_as_they_are() -> None:
    names = ("mouthSmile_L", "jawOpen", "browInnerUp_L", "browInnerUp_R", "mouthClose", "eyeBlinkLeft", "eyeWide_L")
    tiny = tiny_head_model(num_expression=len(names))
    model = replace(tiny, expression_names=names)
    given = {"mouthSmileLeft": 0.1, "jawOpen": 0.2, "browInnerUp": 0.3, "mouthClose": 0.4, "eyeBlinkLeft": 0.5}
    params = arkit_motion({**given, "eyeWideLeft": 0.6}, model)
    assert params.expr[0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.6])
    assert not params.jaw_pose.any()


def test_spellings_and_the_head() -> None:
    wanted = arkit_motion({"mouthSmileLeft": 0.7}, NAMED).motion_vector()
    for spelled in ("mouthSmile_L", "MouthSmileLeft", "mouth_smile_left"):
        assert torch.equal(arkit_motion({spelled: 0.7, "_neutral": 0.2}, NAMED).motion_vector(), wanted)
    params = arkit_motion({}, NAMED, head=(0.1, -0.2, 0.3))
    assert params.neck_pose.tolist()[0] == pytest.approx([0.1, -0.2, 0.3])
    assert params.num_timesteps == 1 and not params.rotation.any() and not params.translation.any()


@pytest.mark.parametrize(
    ("coefficients", "named"),
    [
        ({"jawOpne": 0.5}, "'jawOpne' is not one of ARKit's 52 blendshapes. Did you mean 'jawOpen'?"),
        ({"jawOpen": 1.5}, "'jawOpen' is 1.5"),
        ({"jawOpen": float("nan")}, "'jawOpen' is nan"),
        ({"jawOpen": -0.1}, "'jawOpen' is -0.1"),
        ({"jawOpen": "0.5"}, "'jawOpen' is '0.5'"),
    ],
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_bad_coefficients_are_refused_by_name(coefficients: dict, named: str) -> None:
    with pytest.raises(ArkitError) as error:
        arkit_motion(coefficients, NAMED)
    assert named in str(error.value)


@pytest.mark.parametrize("head", [(0.0, 0.0), (0.0, float("nan"), 0.0), (0.0, 90.0, 0.0)])
def test_a_turn_has_three_finite_angles_in_radians(head: tuple[float, ...]) -> None:
    with pytest.raises(ArkitError, match="'head'"):
        arkit_motion({}, NAMED, head)


@pytest.mark.shared
def test_fitted_moves_agree_with_the_makers_shapes(shared: Path) -> None:
    """FaceKit's rig has principal components; the reference is its makers' own shapes with ARKit's names."""
    model = load_head_model(shared / "facekit" / "head_model.pkl")
    source = np.load(shared / "facekit" / "ict_facekit.npz")
    contents = load_pickle(shared / "facekit" / "head_model.pkl")
    corners, weights = np.asarray(contents["facekit_vertex_idx"]), np.asarray(contents["facekit_vertex_bary"])
    shapes = dict(zip(source["expression_names"].tolist(), source["expression"], strict=True))
    for name, least in (("mouthSmileLeft", 0.9), ("mouthUpperUpRight", 0.85), ("eyeBlinkLeft", 0.75), ("jawOpen", 0.9)):
        ours = vertex_moves(model, **{name: 1.0}).numpy()
        theirs = shapes[name.replace("Left", "_L").replace("Right", "_R")].astype(np.float32)
        theirs = 0.01 * (theirs[corners.astype(int)] * weights[..., None]).sum(1)
        cosine = (ours * theirs).sum() / (np.linalg.norm(ours) * np.linalg.norm(theirs))
        assert cosine > least, name
