"""A prior mesh on the tracked head: a good one, another person's, one of a wrong size, and those that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import trimesh
from torch import Tensor

from sage_ns.errors import FieldError
from sage_ns.field.pretraining import distance_samples
from sage_ns.field.prior_mesh import PriorMesh, registered_prior
from sage_ns.geometry import axis_angle_to_matrix
from tests.geometry.bumpy import bumpy_head, written_mesh

HEAD, TRIANGLES = bumpy_head(3)


def file_of(path: Path, vertices: Tensor, triangles: Tensor, scale: float = 1.0) -> Path:
    turn = axis_angle_to_matrix(torch.tensor([0.1, 0.4, 0.0], dtype=torch.float64))
    return written_mesh(path, scale * vertices @ turn.T + 0.3, triangles)


def test_a_good_prior_is_recovered_and_a_wrong_scale_is_reported(tmp_path: Path) -> None:
    prior = registered_prior(file_of(tmp_path / "prior.ply", HEAD, TRIANGLES, 1.05), HEAD.float(), TRIANGLES)
    assert prior.scale == pytest.approx(1 / 1.05, abs=1e-4)
    assert prior.residual < 1e-5
    apart = torch.cdist(prior.vertices, HEAD).amin(dim=1)
    assert float(apart.max()) < 2e-5  # the file is in single precision
    assert "scaled by 0.9524 to metres; the tracked face is 0.00 mm from it" in prior.summary()


def test_another_person_is_accepted_and_the_misfit_is_reported(tmp_path: Path) -> None:
    prior = registered_prior(file_of(tmp_path / "prior.ply", *bumpy_head(3, 1.3, 0.95)), HEAD, TRIANGLES)
    assert 0.0005 < prior.residual < 0.003
    assert f"{1e3 * prior.residual:.2f} mm" in prior.summary()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    box = trimesh.creation.box()
    corners, sides = torch.from_numpy(box.vertices.copy()), torch.from_numpy(box.faces.copy())
    path = file_of(tmp_path / "box.ply", corners, sides)
    with pytest.raises(FieldError, match=r"box.ply: the mesh does not fit .* expected at most 5 mm"):
        registered_prior(path, HEAD, TRIANGLES)


def test_points_and_samples_stay_within_the_cube_of_the_field(tmp_path: Path) -> None:
    """The cube of a bust's head does not contain its shoulders."""
    prior = PriorMesh(tmp_path, HEAD, TRIANGLES, 1.0, 0.0)
    points = prior.points_within(torch.zeros(3), 0.08, 500, seed=0)
    assert points.shape == (500, 3) and float(points.abs().max()) <= 0.08
    samples = distance_samples(prior.vertices, prior.triangles, torch.zeros(3), 0.08, seed=0)
    assert float(samples.points.abs().max()) <= 0.08 + 1e-6
    with pytest.raises(FieldError, match="no triangle lies within the cube"):
        prior.points_within(torch.full((3,), 5.0), 0.08, 500, seed=0)
