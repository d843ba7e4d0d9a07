"""When refined turns are kept, and that heads of another identity stand where the skull was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig.regions import Regions
from sage_ns.rig.skull import skull_motions
from sage_ns.synthetic.head import builtin_head
from sage_ns.tracking import clip_refiners as module
from sage_ns.tracking.clip_refiners import TurningHead, clip_refiners, doubt
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.joint_fit import KnownCamera, Sighting, keep_moments
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.turn_fit import TurnFit
from sage_ns.tracking.turn_problem import Turns
from tests.tracking.known_head import FOCAL, SIZE, face_seen, random_embedding, seen_head

COUNT = 5


@pytest.fixture(scope="module")
def seen() -> TurningHead:
    model = builtin_head()
    embedding = random_embedding(model)
    rig = LandmarkRig(model, embedding)
    heads = seen_head(rig, 2, turn=0.0).repeat(COUNT, 1)
    heads[:, rig.unknowns.focal] = 0.0
    heads[:, 1] = torch.linspace(-0.5, 0.5, COUNT).double()
    camera = KnownCamera.at_rest(FOCAL, SIZE)
    sightings = [Sighting(row, 0, face_seen(rig, x, view=camera.view())) for row, x in enumerate(heads)]
    fit = keep_moments(sightings, [camera], model, embedding, rig.whole(heads, model))
    focal = FocalLength(FOCAL, 0.35, "guess")
    times = torch.arange(COUNT).double()
    return TurningHead(
        fit, sightings, lambda: [np.zeros((*SIZE[::-1], 3))] * COUNT, SIZE, times, focal, model, embedding
    )


def turned(seen: TurningHead) -> Turns:
    turns = module._turns(seen, 10)
    more = axis_angle_to_matrix(torch.tensor([0.1, 0.0, 0.0]).double()) @ turns.rotation
    identity = 0.5 * torch.randn(10, generator=torch.Generator().manual_seed(0)).double()
    return replace(turns, rotation=more, identity=identity, log_focal=torch.tensor(0.2).double())


def test_heads_of_another_identity_stand_where_the_skull_was_found(seen: TurningHead) -> None:
    turns = turned(seen)
    heads, factor = module._heads(seen, turns)
    rig = LandmarkRig(seen.model, seen.embedding)
    found = skull_motions(seen.model, rig.whole(heads, seen.model))
    assert torch.allclose(found[:, :3, :3].double(), turns.rotation, atol=1e-5)
    assert torch.allclose(found[:, :3, 3].double(), turns.place, atol=1e-5)
    assert factor == pytest.approx(np.exp(0.2))
    first = heads[:, rig.unknowns.shape][:, :10] - seen.fit.params.shape[:10].double()
    assert torch.allclose(first, turns.identity.expand(COUNT, -1), atol=1e-6)


def test_refined_heads_are_kept_for_a_clear_gain_alone(seen: TurningHead) -> None:
    turns = turned(seen)
    kept = module._judged(seen, TurnFit(turns, 100.0, 60.0))
    assert kept.report["kept"] is True and kept.note == ""
    assert kept.report["turned_degrees"]["mean"] == pytest.approx(5.7, abs=0.1)
    assert kept.fit.focal_factor == pytest.approx(np.exp(0.2))
    assert torch.allclose(axis_angle_to_matrix(kept.fit.params.rotation.double()), turns.rotation, atol=1e-5)
    refused = module._judged(seen, TurnFit(turns, 100.0, 95.0))
    assert refused.report["kept"] is False and "hardly speak" in refused.note
    assert refused.fit is seen.fit


def test_doubts_name_their_reason() -> None:
    small = torch.tensor([3.0, 9.0])
    assert doubt(100.0, 80.0, small) is None
    assert "hardly speak" in (doubt(100.0, 91.0, small) or "")
    assert "by 31 degrees" in (doubt(100.0, 50.0, torch.tensor([3.0, 31.0])) or "")


def test_a_head_model_without_regions_keeps_its_landmarks_and_says_so(seen: TurningHead) -> None:
    bare = replace(seen, model=replace(seen.model, regions=Regions()))
    found = clip_refiners["photometric"].refine(bare)
    assert found.fit is seen.fit and "no regions" in found.note
    assert clip_refiners["landmarks"].refine(seen).fit is seen.fit
