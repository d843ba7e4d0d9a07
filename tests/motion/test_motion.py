"""The type of all motion in the package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sage_ns.errors import FlameParamsError
from sage_ns.motion.files import load_motion
from sage_ns.motion.motion import Motion, joined
from sage_ns.motion.source import RECORDED, MotionSource
from tests.tiny import tiny_head_model, tiny_params

MODEL = tiny_head_model()
PARAMS = tiny_params(MODEL, 5)
MOTION = Motion.of(PARAMS, "made up", torch.tensor([3, 4, 5, 8, 9]), torch.tensor([0, 0, 0, 2, 2]), 30.0, ["a note"])


def test_identity_is_dropped_and_ids_have_defaults() -> None:
    motion = Motion.of(PARAMS, Path("a.npz"))
    assert motion.params.static_offset is None and len(motion.params.shape) == 0
    assert motion.timesteps.tolist() == [0, 1, 2, 3, 4] and motion.sequences.tolist() == [0] * 5
    assert (motion.source, motion.fps, motion.notes, motion.num_rows) == (Path("a.npz"), None, (), 5)
    assert torch.equal(motion.vectors, PARAMS.motion_vector())


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("name", ["timesteps", "sequences"])
def test_ids_are_one_per_row(name: str) -> None:
    with pytest.raises(FlameParamsError, match=rf"made up: '{name}': found shape \[3\], expected \[5\]"):
        replace(MOTION, **{name: torch.arange(3)})


def test_rows_are_taken_together() -> None:
    for rows in (slice(1, None, 2), torch.tensor([1, 3]), torch.tensor([False, True, False, True, False])):
        part = MOTION[rows]
        assert part.timesteps.tolist() == [4, 8] and part.sequences.tolist() == [0, 2]
        assert torch.equal(part.vectors, MOTION.vectors[rows])
        assert (part.source, part.fps, part.notes) == ("made up", 30.0, ("a note",))


def test_positions_within_a_sequence_are_interpolated_and_others_are_not() -> None:
    for row in range(5):
        assert torch.equal(MOTION.at(row), MOTION.vectors[row])
    between = PARAMS.interpolate(torch.tensor([1.25])).motion_vector()[0]
    torch.testing.assert_close(MOTION.at(1.25), between)
    assert torch.equal(MOTION.at(2.9), MOTION.vectors[2]), "a cut"
    assert torch.equal(MOTION.at(4.9), MOTION.vectors[4]), "the end"


def test_fitting_fills_up_and_names_the_source_of_what_does_not_fit() -> None:
    narrow = Motion.of(replace(PARAMS, expr=PARAMS.expr[:, :4]), "narrow").fitted(MODEL)
    assert torch.equal(narrow.params.expr[:, :4], PARAMS.expr[:, :4]) and not narrow.params.expr[:, 4:].any()
    assert narrow.params.expr.shape[1] == MODEL.num_expression
    with pytest.raises(FlameParamsError, match="wide: 'expr': found 12 coefficients in use"):
        Motion.of(replace(PARAMS, expr=torch.ones(5, 12)), "wide").fitted(MODEL)


def test_a_saved_motion_reads_back(tmp_path: Path) -> None:
    MOTION.save(tmp_path / "motion.npz")
    again = load_motion(tmp_path / "motion.npz")
    assert torch.equal(again.vectors, MOTION.vectors)
    assert torch.equal(again.timesteps, MOTION.timesteps) and torch.equal(again.sequences, MOTION.sequences)


def test_joined_motions_keep_their_sequences_apart() -> None:
    other = Motion.of(replace(PARAMS, expr=PARAMS.expr[:, :4])[:2], "other", fps=25.0, notes=["another"])
    both = joined([MOTION, other], "both")
    assert both.sequences.tolist() == [0, 0, 0, 1, 1, 2, 2] and both.timesteps.tolist() == [3, 4, 5, 8, 9, 0, 1]
    assert torch.equal(both.vectors[:5], MOTION.vectors) and not both.params.expr[5:, 4:].any()
    assert both.notes == ("made up: a note", "other: another")
    assert both.source == "both" and both.fps is None
    assert joined([MOTION, MOTION], "twice").fps == 30.0
    with pytest.raises(FlameParamsError, match="no sequences"):
        joined([], "nothing")


def test_a_motion_source_returns_its_rows() -> None:
    source = MotionSource(PARAMS, torch.tensor([3, 4, 5, 8, 9]), 2)
    source.refine(source.motion[2] + 1e-3)
    motion = source.recorded()
    assert torch.equal(motion.vectors, source.motion) and motion.timesteps.tolist() == [3, 4, 5, 8, 9]
    assert motion.source == RECORDED
