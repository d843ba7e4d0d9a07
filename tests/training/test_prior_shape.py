"""The alignment of the field with a prior mesh: closed forms, gradients, and a training that starts from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sage_ns.errors import SageError
from sage_ns.field.sdf import FieldSample
from sage_ns.geometry.signed_distance import close_holes
from sage_ns.training.config import FieldSettings, LearnerConfig
from sage_ns.training.field_supervision import FieldSupervision
from sage_ns.training.learner import Learner
from sage_ns.training.losses import prior_alignment
from sage_ns.training.prior_shape import NUM_POINTS, PriorShape
from sage_ns.training.start import start_learner
from tests.geometry.bumpy import written_mesh
from tests.tiny import tiny_head_model
from tests.tiny_capture import tiny_record
from tests.training.test_self_supervise import build

HEAD = tiny_head_model()


class Ball(torch.nn.Module):
    """Signed distance to a ball, times a steepness."""

    def __init__(self, radius: float, center: float, steepness: float = 1.0) -> None:
        super().__init__()
        self.radius = torch.nn.Parameter(torch.tensor(radius, dtype=torch.float64))
        self.center = torch.nn.Parameter(torch.tensor([center, 0.0, 0.0], dtype=torch.float64))
        self.steepness = steepness

    def evaluate(self, x: torch.Tensor, gradient: bool | str = False) -> FieldSample:
        away = x - self.center
        distance = self.steepness * (away.norm(dim=-1) - self.radius)
        slope = self.steepness * torch.nn.functional.normalize(away, dim=-1)
        return FieldSample(distance, slope, torch.zeros(len(x), 1), torch.zeros(len(x), 1))


def on_sphere(radius: float, count: int = 4000) -> torch.Tensor:
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = torch.nn.functional.normalize(points, dim=-1)
    return radius * torch.cat([points, -points])


@pytest.mark.parametrize("steepness", [1.0, 2.5])
def test_grown_and_moved_balls_cost_the_square_of_growth_and_move(steepness: float) -> None:
    shape, every = PriorShape(on_sphere(0.1)), torch.arange(8000)
    grown = prior_alignment(*shape.zero_set(Ball(0.103, 0.0, steepness), every))  # type: ignore[arg-type]
    assert float(grown.detach()) == pytest.approx(0.003**2, rel=1e-6)
    # The nearest points of a ball that has moved by e are moved by (e . n) n: by e / 3 on average.
    moved = prior_alignment(*shape.zero_set(Ball(0.1, 0.001, steepness), every))  # type: ignore[arg-type]
    assert float(moved.detach()) == pytest.approx((0.001 / 3) ** 2, rel=0.05)
    same = prior_alignment(*shape.zero_set(Ball(0.1, 0.0, steepness), every))  # type: ignore[arg-type]
    assert float(same.detach()) < 1e-20


def test_gradients_pull_the_field_to_size_and_place() -> None:
    ball, shape = Ball(0.103, 0.001), PriorShape(on_sphere(0.1))
    prior_alignment(*shape.zero_set(ball, torch.arange(8000))).backward()  # type: ignore[arg-type]
    assert ball.radius.grad is not None and ball.center.grad is not None
    assert float(ball.radius.grad) == pytest.approx(2 * 0.003, rel=0.01)
    assert float(ball.center.grad[0]) > 0
    points = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    other = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(lambda x: prior_alignment(x, other), points)


def tiny_learner(prior: Path, fresh: bool = True) -> Learner:
    sdf = FieldSettings(num_levels=3, log2_table_size=10, coarsest=4, finest=21, hidden=16, num_features=4)
    config = LearnerConfig(num_surfels=200, num_rays=16, num_surface_points=64, networks=False, sdf=sdf)
    config.prior_mesh = prior
    return start_learner(config, tiny_record(HEAD, 0), (lambda: []) if fresh else None, seed=0)


def test_a_training_starts_from_the_prior_and_goes_on_without_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed, triangles = close_holes(HEAD.v_template.double(), HEAD.triangles)
    path = written_mesh(tmp_path / "prior.ply", 7 * closed, triangles)
    learner = tiny_learner(path)
    assert "scaled by 0.1429 to metres; the tracked face is 0.00 mm from it" in " ".join(
        capsys.readouterr().out.split()
    )
    assert learner.prior is not None and learner.canonical is not None
    with torch.no_grad():
        assert float(learner.canonical.field.distance(learner.prior.points).abs().mean()) < 0.004
    supervision = FieldSupervision.of(learner.config, learner.canonical, HEAD, 0, learner.prior)
    frames = learner.frames(learner.motion.canonical())
    terms = supervision.point_terms(3, learner.surfels, learner.surfels.attributes, frames)
    loss = learner.weigh({"prior_alignment": terms["prior_alignment"]})["prior_alignment"]
    assert torch.equal(loss, learner.config.losses.prior_alignment * terms["prior_alignment"]())
    loss.backward()
    assert any(each.grad is not None and bool(each.grad.any()) for each in learner.canonical.field.parameters())

    path.unlink()
    with pytest.raises(SageError, match=r"prior\.ply: no such file"):
        tiny_learner(path)
    resumed = tiny_learner(path, fresh=False)
    resumed.load_state_dict(learner.state_dict())
    assert resumed.prior is not None and len(learner.prior.points) == NUM_POINTS
    assert torch.equal(resumed.prior.points, learner.prior.points)


def test_a_prior_needs_a_field(tmp_path: Path) -> None:
    overrides = {"pipeline.model.prior_mesh": tmp_path / "prior.ply", "pipeline.model.with_sdf": False}
    with pytest.raises(SageError, match="first shape of the field"):
        build(tmp_path, tmp_path / "out", **overrides)
