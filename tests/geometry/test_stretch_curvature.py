"""Stretch, curvature and their effect on discs, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sage_ns.geometry import axis_angle_to_matrix, quaternion_to_matrix, triangle_areas, triangle_frames
from sage_ns.geometry.deformation_gradient import TriangleDeformations, triangle_deformations
from sage_ns.geometry.stretch_curvature import (
    MAX_STRETCH,
    aligned_disc,
    along_turned_axes,
    bounded_root,
    bounded_tensor,
    from_principal,
    in_tangent_plane,
    principal,
    shape_operator,
    shortened_by_bending,
    transported_disc,
    triangle_curvatures,
)

IDENTITY = torch.eye(3, dtype=torch.float64)
TURN = axis_angle_to_matrix(torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64))


def sheet(num: int = 24, size: float = 0.04, jitter: float = 0.15) -> tuple[Tensor, Tensor]:
    """A square in the plane z = 0, with more or less irregular triangles."""
    axis = torch.linspace(-size / 2, size / 2, num, dtype=torch.float64)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    vertices = torch.stack([x, y, torch.zeros_like(x)], dim=-1).reshape(-1, 3)
    generator = torch.Generator().manual_seed(0)
    vertices[:, :2] += jitter * size / num * torch.randn(len(vertices), 2, generator=generator, dtype=torch.float64)
    corner = (torch.arange(num - 1)[:, None] * num + torch.arange(num - 1)).reshape(-1, 1)
    triangles = torch.cat([corner + torch.tensor([0, 1, num]), corner + torch.tensor([1, num + 1, num])])
    return vertices, triangles


def inner(vertices: Tensor, triangles: Tensor, margin: float = 0.7) -> Tensor:
    """Triangles away from the border, where a vertex has triangles all around."""
    return (vertices[triangles].mean(dim=1)[:, :2].abs() < margin * vertices[:, :2].max()).all(dim=-1)


def deformed(before: Tensor, after: Tensor, triangles: Tensor) -> TriangleDeformations:
    frames = triangle_frames(before, triangles), triangle_frames(after, triangles)
    return triangle_deformations(before, after, triangles, *frames)


def on_cylinder(vertices: Tensor, radius: float) -> Tensor:
    """Rolled up along x without any stretch; the normal points away from the axis."""
    x, y, _ = vertices.unbind(-1)
    return torch.stack([radius * (x / radius).sin(), y, radius * ((x / radius).cos() - 1)], dim=-1)


def on_sphere(vertices: Tensor, radius: float) -> Tensor:
    """Distances to the centre of the sheet stay; around it, circles shrink by sin(a) / a, a = distance / radius."""
    distance = vertices[:, :2].norm(dim=-1, keepdim=True)
    angle = distance / radius
    flat = vertices[:, :2] * torch.sinc(angle / math.pi)
    return torch.cat([flat, radius * (angle.cos() - 1)], dim=-1)


def tangents(canonical: Tensor, triangles: Tensor) -> tuple[Tensor, Tensor]:
    frames = triangle_frames(canonical, triangles)
    return frames.rotation[..., 2], frames.rotation[..., 0]


# ---- symmetric 2x2 matrices


@given(entries=st.lists(st.floats(-10, 10), min_size=3, max_size=3))
@settings(max_examples=100, deadline=None)
def test_any_symmetric_matrix_is_rebuilt(entries: list[float]) -> None:
    matrix = torch.tensor(entries, dtype=torch.float64)
    values, turn = principal(matrix)
    torch.testing.assert_close(from_principal(values, turn), matrix, atol=1e-12, rtol=1e-12)
    assert abs(float(turn)) <= math.pi / 4 + 1e-12
    full = torch.tensor([[entries[0], entries[1]], [entries[1], entries[2]]], dtype=torch.float64)
    torch.testing.assert_close(values.sort().values, torch.linalg.eigvalsh(full), atol=1e-9, rtol=1e-9)


def test_multiples_of_the_identity_have_no_turn() -> None:
    values, turn = principal(torch.tensor([[2.0, 0.0, 2.0], [0.0, 0.0, 0.0]]))
    torch.testing.assert_close(values, torch.tensor([[2.0, 2.0], [0.0, 0.0]]), rtol=0, atol=0)
    assert (turn == 0).all()


def test_values_along_turned_axes_are_those_of_the_turned_matrix() -> None:
    matrix = torch.tensor([2.0, 0.7, -1.0], dtype=torch.float64)
    values, turn = principal(matrix)
    torch.testing.assert_close(along_turned_axes(matrix, turn), values)
    torch.testing.assert_close(along_turned_axes(matrix, torch.zeros_like(turn)), matrix[[0, 2]])


# ---- deformation gradient and stretch


def test_uniform_stretch_of_a_plane() -> None:
    canonical, triangles = sheet()
    gradient = torch.diag(torch.tensor([1.6, 0.8, 1.0], dtype=torch.float64))
    found = deformed(canonical, canonical @ gradient @ TURN.T, triangles)
    expected = torch.tensor([1.6**2, 0.8**2, 1.6 * 0.8], dtype=torch.float64).diag().expand(len(triangles), 3, 3)
    torch.testing.assert_close(found.squared_stretch, expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(quaternion_to_matrix(found.rotation), TURN.expand(len(triangles), 3, 3))


def test_shear_has_the_polar_decomposition_of_its_gradient() -> None:
    canonical, triangles = sheet(6)
    gradient = IDENTITY.clone()
    gradient[:2, :2] = torch.tensor([[1.2, 0.5], [-0.3, 0.9]])
    gradient[2, 2] = torch.linalg.det(gradient[:2, :2]).sqrt()
    left, values, right = torch.linalg.svd(gradient)
    found = deformed(canonical, canonical @ gradient.T, triangles)
    rotations = quaternion_to_matrix(found.rotation)
    torch.testing.assert_close(rotations, (left @ right).expand_as(rotations), atol=1e-9, rtol=0)
    stretch = right.T @ (values**2).diag() @ right
    torch.testing.assert_close(found.squared_stretch, stretch.expand_as(rotations), atol=1e-9, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-4)])
def test_rigid_motion_is_a_rotation_without_stretch(dtype: torch.dtype, tolerance: float) -> None:
    canonical, triangles = sheet()
    moved = (canonical @ TURN.T + 0.3).to(dtype)
    found = deformed(canonical.to(dtype), moved, triangles)
    torch.testing.assert_close(
        found.squared_stretch, IDENTITY.to(dtype).expand(len(triangles), 3, 3), atol=tolerance, rtol=0
    )
    torch.testing.assert_close(
        quaternion_to_matrix(found.rotation), TURN.to(dtype).expand(len(triangles), 3, 3), atol=tolerance, rtol=0
    )


def test_isotropic_scale_stretches_in_all_three_directions() -> None:
    canonical, triangles = sheet(6)
    found = deformed(canonical, 3 * canonical, triangles)
    torch.testing.assert_close(found.squared_stretch, 9 * IDENTITY.expand(len(triangles), 3, 3))


def test_rolling_up_does_not_stretch_and_a_sphere_stretches_around_its_centre() -> None:
    canonical, triangles = sheet(48, jitter=0.0)
    rolled = deformed(canonical, on_cylinder(canonical, 0.02), triangles)
    first, second = tangents(canonical, triangles)
    stretch = principal(in_tangent_plane(rolled.squared_stretch, first, second))[0].sqrt()
    assert float((stretch - 1).abs().max()) < 0.02

    domed = deformed(canonical, on_sphere(canonical, 0.02), triangles)
    stretch = principal(in_tangent_plane(domed.squared_stretch, first, second))[0].sqrt().sort(dim=-1).values
    angle = canonical[triangles].mean(dim=1)[:, :2].norm(dim=-1) / 0.02
    expected = torch.stack([torch.sinc(angle / math.pi), torch.ones_like(angle)], dim=-1)
    torch.testing.assert_close(stretch, expected, atol=0, rtol=0.02)


def test_degenerate_triangles_stay_finite_and_bounded() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0.5, 1e-9, 0], [0.5, 1e-3, 0], [0, 1, 0]])
    triangles = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 0, 1], [4, 4, 4], [0, 1, 4]])
    raised = vertices + torch.tensor([0.0, 0, 0.5])[None] * torch.tensor([[0.0], [0], [1], [1], [0]])
    for before, after in ((vertices, raised), (raised, vertices), (vertices, torch.zeros_like(vertices))):
        found = deformed(before, after, triangles)
        ratio = triangle_frames(after, triangles).scale / triangle_frames(before, triangles).scale
        relative = found.squared_stretch / ratio[:, None, None] ** 2
        assert found.rotation.isfinite().all()
        values = torch.linalg.eigvalsh(relative)
        assert (values > 0.9 * MAX_STRETCH**-2).all() and (values < 1.1 * MAX_STRETCH**2).all()
    assert float(triangle_areas(vertices, triangles)[0]) < 1e-8


# ---- curvature


@pytest.mark.parametrize("radius", [0.02, 0.05])
def test_curvature_of_cylinder_and_sphere(radius: float) -> None:
    canonical, triangles = sheet(48, jitter=0.0)
    chosen = inner(canonical, triangles)
    for shape, expected in ((on_cylinder, [0.0, 1 / radius]), (on_sphere, [1 / radius, 1 / radius])):
        bent = shape(canonical, radius)
        first, second = tangents(bent, triangles)
        operator = in_tangent_plane(
            triangle_curvatures(bent, triangles, triangle_frames(bent, triangles)), first, second
        )
        values, turn = principal(operator[chosen])
        expected = torch.tensor(expected, dtype=torch.float64).expand_as(values)
        assert float((values.sort(dim=-1).values - expected).abs().max()) < 0.02 / radius
        if shape is on_cylinder:
            # The direction that bends is around the axis, y.
            axis = first[chosen] * turn.cos()[:, None] + second[chosen] * turn.sin()[:, None]
            along_y = axis[:, 1].abs()
            bends = values[:, 0] > values[:, 1]
            assert float(along_y[bends].max()) < 0.1
            assert float(along_y[~bends].min()) > 0.99


@pytest.mark.parametrize("radius", [0.02, 0.05])
def test_curvature_from_scattered_neighbours_on_cylinder_and_sphere(radius: float) -> None:
    generator = torch.Generator().manual_seed(0)
    around = 0.002 * torch.randn(100, 12, 2, generator=generator, dtype=torch.float64)
    weights = torch.exp(-around.square().sum(-1) / 0.002**2)
    flat = torch.cat([around, torch.zeros_like(around[..., :1])], dim=-1)
    for shape, expected in ((on_cylinder, [0.0, 1 / radius]), (on_sphere, [1 / radius, 1 / radius])):
        points = shape(flat.reshape(-1, 3), radius).unflatten(0, (100, 12))
        normals = (points + torch.tensor([0.0, 0.0, radius])) / radius
        if shape is on_cylinder:
            normals[..., 1] = 0.0
        # The tangent plane at the origin is z = 0, the normal there is +z.
        values, _ = principal(shape_operator(points[..., :2], normals[..., :2], weights))
        expected = torch.tensor(expected, dtype=torch.float64).expand_as(values)
        assert float((values.sort(dim=-1).values - expected).abs().max()) < 0.02 / radius


def test_least_squares_over_neighbours_finds_the_operator_that_made_them() -> None:
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randn(10, 7, 2, generator=generator, dtype=torch.float64)
    weights = torch.rand(10, 7, generator=generator, dtype=torch.float64)
    operator = torch.tensor([[30.0, -5.0], [-5.0, 12.0]], dtype=torch.float64)
    changes = offsets @ operator
    expected = torch.tensor([30.0, -5.0, 12.0], dtype=torch.float64).expand(10, 3)
    torch.testing.assert_close(shape_operator(offsets, changes, weights), expected)
    # An outlier without weight does not count.
    changes[:, 0], weights[:, 0] = 100.0, 0.0
    torch.testing.assert_close(shape_operator(offsets, changes, weights), expected)


def test_neighbours_on_a_line_have_no_curvature() -> None:
    offsets = torch.tensor([[[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0]]])
    assert (shape_operator(offsets, torch.ones_like(offsets), torch.ones(1, 3)) == 0).all()


# ---- discs


def covariance(scales: Tensor, turn: Tensor) -> Tensor:
    return from_principal(scales**2, turn)


@given(
    stretches=st.tuples(st.floats(0.5, 2.0), st.floats(0.5, 2.0)),
    direction=st.floats(-3, 3),
    scales=st.tuples(st.floats(1e-4, 1.0), st.floats(1e-4, 1.0)),
)
@settings(max_examples=100, deadline=None)
def test_transported_disc_is_the_gaussian_mapped_by_the_stretch(
    stretches: tuple[float, float], direction: float, scales: tuple[float, float]
) -> None:
    values, angle = torch.tensor(stretches, dtype=torch.float64), torch.tensor(direction, dtype=torch.float64)
    before = torch.tensor(scales, dtype=torch.float64)
    factors, turn = transported_disc(from_principal(values**2, angle), before)
    u00, u01, u11 = from_principal(values, angle).unbind()
    root = torch.stack([u00, u01, u01, u11]).reshape(2, 2)
    mapped = root @ (before**2).diag() @ root
    found = covariance(before * factors, turn)
    expected = torch.stack([mapped[0, 0], mapped[0, 1], mapped[1, 1]])
    torch.testing.assert_close(found, expected, atol=1e-10 * float(before.max()) ** 2, rtol=1e-8)


def test_a_needle_keeps_its_width_in_float32() -> None:
    squared = from_principal(torch.tensor([4.0, 1.0]) ** 2 / 4, torch.tensor(0.3))
    needle = torch.tensor([1e-2, 1e-7])
    factors, _ = transported_disc(squared, needle)
    precise, _ = transported_disc(squared.double(), needle.double())
    torch.testing.assert_close(factors.double(), precise, rtol=1e-4, atol=0)


@pytest.mark.parametrize("update", [transported_disc, aligned_disc])
def test_discs_follow_stretch_along_their_axes_and_nothing_happens_without_any(update) -> None:
    scales = torch.tensor([[3.0, 1.0], [1.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    factors, turn = update(torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64).expand(3, 3), scales)
    torch.testing.assert_close(factors, torch.ones_like(scales), rtol=0, atol=1e-15)
    assert (turn == 0).all()
    factors, turn = update(torch.tensor([[4.0, 0.0, 1.0]], dtype=torch.float64), scales[:1])
    torch.testing.assert_close(factors, torch.tensor([[2.0, 1.0]], dtype=torch.float64))
    assert (turn == 0).all()


@pytest.mark.parametrize("update", [transported_disc, aligned_disc])
def test_stretches_are_bounded(update) -> None:
    scales = torch.tensor([[1.0, 0.5]])
    factors, _ = update(torch.tensor([[1e6, 0.0, 1e-6]]), scales)
    torch.testing.assert_close(factors, torch.tensor([[MAX_STRETCH, 1 / MAX_STRETCH]]))


def test_aligned_disc_ranks_axes_and_turns_the_shorter_way() -> None:
    squared = from_principal(torch.tensor([4.0, 1.0]).double(), torch.tensor(0.3).double())
    share = 3 / 5  # (4 - 1) / (4 + 1)
    factors, turn = aligned_disc(squared, torch.tensor([2.0, 1.0]).double())
    assert factors.tolist() == pytest.approx([2.0, 1.0])
    assert float(turn) == pytest.approx(0.3 * share)
    # The longer axis is the second one: it turns to the larger stretch, 0.3 rad off the first axis.
    factors, turn = aligned_disc(squared, torch.tensor([1.0, 2.0]).double())
    assert factors.tolist() == pytest.approx([1.0, 2.0])
    assert float(turn) == pytest.approx((0.3 - math.pi / 2) * share)


def test_bending_shortens_discs_relative_to_the_canonical_curvature() -> None:
    scales = torch.tensor([0.001, 0.002])
    flat, bent = torch.zeros(2), torch.tensor([500.0, 0.0])
    torch.testing.assert_close(
        shortened_by_bending(flat, scales, bent, scales, gamma=1.0), torch.tensor([1 / 1.5, 1.0])
    )
    torch.testing.assert_close(shortened_by_bending(bent, scales, bent, scales, gamma=1.0), torch.ones(2))
    # Scaled as a whole a head bends by the same angles.
    torch.testing.assert_close(shortened_by_bending(bent, scales, bent / 2, scales * 2, gamma=1.0), torch.ones(2))


def matrices(symmetric: Tensor) -> Tensor:
    m00, m01, m11 = symmetric.unbind(-1)
    return torch.stack([m00, m01, m01, m11], dim=-1).unflatten(-1, (2, 2))


def test_bounded_stretches_are_the_tensor_itself_or_have_the_bounds_as_eigenvalues() -> None:
    generator = torch.Generator().manual_seed(4)
    root = torch.randn(500, 2, 2, generator=generator, dtype=torch.float64)
    squared = root @ root.mT * torch.logspace(-2, 2, 500, dtype=torch.float64)[:, None, None]
    symmetric = torch.stack([squared[:, 0, 0], squared[:, 0, 1], squared[:, 1, 1]], dim=-1)
    values, vectors = torch.linalg.eigh(squared)
    held = values.clamp(MAX_STRETCH**-2, MAX_STRETCH**2)
    assert (held == values).all(-1).any() and (held != values).any(-1).any()
    found = matrices(bounded_tensor(symmetric))
    torch.testing.assert_close(found, vectors @ torch.diag_embed(held) @ vectors.mT)
    torch.testing.assert_close(matrices(bounded_root(symmetric)), vectors @ torch.diag_embed(held.sqrt()) @ vectors.mT)


def test_at_rest_stretches_have_the_gradients_of_finite_differences() -> None:
    """Equal eigenvalues, of which a single one has no derivative."""
    rest = torch.tensor([[1.0, 0.0, 1.0], [2.0, 0.0, 2.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bounded_tensor, rest)
    assert torch.autograd.gradcheck(bounded_root, rest)
    scales = torch.tensor([[0.3, 0.1], [0.1, 0.3]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda stretch: transported_disc(stretch, scales), rest)


def test_gradients_are_finite_wherever_a_stretch_can_be() -> None:
    strange = [[0.0, 0.0, 0.0], [1e9, 0.0, 1e9], [1e9, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]
    stretch = torch.tensor(strange, dtype=torch.float64, requires_grad=True)
    for round_disc in (torch.full((5, 2), 1e-3), torch.tensor([1e-3, 1e-7]).expand(5, 2)):
        factors, turn = transported_disc(stretch, round_disc.double())
        (gradient,) = torch.autograd.grad(factors.sum() + turn.sum(), stretch)
        assert gradient.isfinite().all()
