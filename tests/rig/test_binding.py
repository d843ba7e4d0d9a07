from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sage_ns.geometry import (
    barycentric_to_points,
    nearest_triangles,
    quaternion_to_matrix,
    triangle_areas,
    triangle_frames,
    triangle_normals,
)
from sage_ns.rig import (
    FlameParams,
    Regions,
    pose_vertices,
    rebind,
    rebinding_labels,
    sample_binding,
    to_local,
    to_world,
)
from tests.tiny import tiny_head_model, tiny_params

MODEL = tiny_head_model()
VERTICES = MODEL.v_template


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_surfels(num: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = seeded(seed)
    triangle = torch.randint(MODEL.num_triangles, (num,), generator=generator)
    means = torch.randn(num, 3, generator=generator)
    quaternions = torch.nn.functional.normalize(torch.randn(num, 4, generator=generator), dim=-1)
    return triangle, means, quaternions, 0.1 + torch.rand(num, 2, generator=generator)


class TestSampling:
    def test_counts_follow_area_on_a_model_without_regions(self) -> None:
        model = replace(MODEL, regions=Regions())
        counts = sample_binding(VERTICES, model, 9000, generator=seeded()).triangle.bincount(minlength=90)
        areas = triangle_areas(VERTICES, MODEL.triangles)
        assert ((counts - 9000 * areas / areas.sum()).abs() <= 1.01).all()

    def test_the_face_gets_more(self) -> None:
        areas = triangle_areas(VERTICES, MODEL.triangles)
        face = MODEL.regions.triangle_mask("face", MODEL.triangles)

        def density_ratio(face_weight: float) -> float:
            binding = sample_binding(VERTICES, MODEL, 50_000, generator=seeded(), face_weight=face_weight)
            density = binding.triangle.bincount(minlength=90) / areas
            return float(density[face].mean() / density[~face].mean())

        assert density_ratio(1.0) == pytest.approx(1.0, rel=0.02)
        assert density_ratio(2.0) == pytest.approx(2.0, rel=0.02)
        assert density_ratio(3.0) == pytest.approx(3.0, rel=0.02)

    def test_triangles_near_the_cameras_and_facing_them_get_more(self) -> None:
        model = replace(MODEL, regions=Regions())
        camera = torch.tensor([[0.0, 0.0, 0.6]])
        binding = sample_binding(VERTICES, model, 50_000, camera, seeded())
        density = binding.triangle.bincount(minlength=90) / triangle_areas(VERTICES, MODEL.triangles)
        normals = triangle_normals(VERTICES, MODEL.triangles)[:74]  # the skin
        front, back = normals[:, 2] > 0.8, normals[:, 2] < -0.8
        assert density[:74][front].min() > 4 * density[:74][back].max()
        assert density[:74][back].min() > 0
        # a camera farther away sees less difference in distance, and one more at the same place changes nothing
        far = sample_binding(VERTICES, model, 50_000, 10 * camera, seeded()).triangle.bincount(minlength=90)
        assert far[:74][back].sum() > binding.triangle.bincount(minlength=90)[:74][back].sum()
        twice = sample_binding(VERTICES, model, 50_000, camera.repeat(2, 1), seeded())
        assert torch.equal(twice.triangle, binding.triangle)

    def test_every_triangle_with_an_area_is_covered(self) -> None:
        binding = sample_binding(VERTICES, MODEL, 90, torch.tensor([[0.0, 0.0, 0.2]]), seeded())
        assert torch.equal(binding.triangle, torch.arange(90))
        collapsed = VERTICES.clone()
        collapsed[MODEL.triangles[7]] = collapsed[MODEL.triangles[7, 0]].clone()
        counts = sample_binding(collapsed, MODEL, 200, None, seeded()).triangle.bincount(minlength=90)
        with_area = triangle_areas(collapsed, MODEL.triangles) > 0
        assert counts.sum() == 200 and (counts[with_area] >= 1).all() and not counts[~with_area].any()

    @pytest.mark.parametrize("num_surfels", [1, 50, 91, 1234])
    def test_the_number_is_exact_and_the_draw_repeatable(self, num_surfels: int) -> None:
        first = sample_binding(VERTICES, MODEL, num_surfels, torch.zeros(0, 3), seeded(3))
        again = sample_binding(VERTICES, MODEL, num_surfels, None, seeded(3))
        other = sample_binding(VERTICES, MODEL, num_surfels, None, seeded(4))
        assert first.triangle.shape == (num_surfels,) and first.barycentric.shape == (num_surfels, 3)
        assert torch.equal(first.triangle, again.triangle) and torch.equal(first.barycentric, again.barycentric)
        assert not torch.equal(first.barycentric, other.barycentric)

    def test_points_are_uniform_within_a_triangle(self) -> None:
        barycentric = sample_binding(VERTICES, MODEL, 20_000, generator=seeded()).barycentric
        torch.testing.assert_close(barycentric.sum(-1), torch.ones(20_000))
        assert (barycentric >= 0).all()
        # every coordinate of a uniform point has density 2 (1 - b)
        for quantile in (0.1, 0.5, 0.9):
            expected = torch.full((3,), 1 - (1 - quantile) ** 0.5)
            torch.testing.assert_close(barycentric.quantile(quantile, dim=0), expected, rtol=0, atol=0.01)

    def test_a_mesh_without_area_is_refused(self) -> None:
        with pytest.raises(ValueError, match="weights"):
            sample_binding(torch.zeros_like(VERTICES), MODEL, 10)


class TestTransport:
    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 1000))
    def test_there_and_back(self, seed: int) -> None:
        triangle, means, quaternions, scales = random_surfels(50, seed)
        posed = pose_vertices(MODEL, tiny_params(MODEL, 1, seed))[0]
        frames = triangle_frames(posed.double(), MODEL.triangles)[triangle]
        local = (means.double(), quaternions.double(), scales.double())
        back = to_local(*to_world(*local, frames), frames)
        torch.testing.assert_close(back[0], local[0], rtol=0, atol=1e-9)
        torch.testing.assert_close(quaternion_to_matrix(back[1]), quaternion_to_matrix(local[1]))
        torch.testing.assert_close(back[2], local[2])

    def test_surfels_ride_rigidly_and_grow_with_the_head(self) -> None:
        triangle, means, quaternions, scales = random_surfels(30)
        still = FlameParams.neutral(MODEL)
        turned = replace(still, rotation=torch.tensor([[0.2, 0.9, -0.3]]), translation=torch.tensor([[0.1, 0.2, 0.3]]))
        before, after = pose_vertices(MODEL, still)[0], pose_vertices(MODEL, turned)[0]
        at_rest = to_world(means, quaternions, scales, triangle_frames(before, MODEL.triangles)[triangle])
        carried = to_world(means, quaternions, scales, triangle_frames(after, MODEL.triangles)[triangle])
        turn, shift = _rigid_motion(before, after)
        torch.testing.assert_close(carried[0], at_rest[0] @ turn.T + shift, rtol=0, atol=1e-5)
        torch.testing.assert_close(
            quaternion_to_matrix(carried[1]), turn @ quaternion_to_matrix(at_rest[1]), rtol=0, atol=1e-4
        )
        torch.testing.assert_close(carried[2], at_rest[2], rtol=1e-4, atol=0)
        larger = to_world(means, quaternions, scales, triangle_frames(2 * before, MODEL.triangles)[triangle])
        torch.testing.assert_close(larger[0], 2 * at_rest[0])
        torch.testing.assert_close(larger[2], 2 * at_rest[2])

    def test_local_origin_is_the_centroid(self) -> None:
        triangle = torch.arange(MODEL.num_triangles)
        frames = triangle_frames(VERTICES, MODEL.triangles)
        identity = torch.tensor([1.0, 0, 0, 0]).expand(90, 4)
        means, quaternions, scales = to_world(torch.zeros(90, 3), identity, torch.ones(90, 2), frames[triangle])
        torch.testing.assert_close(means, VERTICES[MODEL.triangles].mean(1))
        torch.testing.assert_close(
            quaternion_to_matrix(quaternions)[..., 1], triangle_normals(VERTICES, MODEL.triangles)
        )
        torch.testing.assert_close(scales[:, 0], frames.scale)


class TestRebinding:
    def test_moved_surfels_go_to_the_nearest_triangle_and_stay_in_place(self) -> None:
        triangle, means, quaternions, scales = random_surfels(80)
        posed = pose_vertices(MODEL, tiny_params(MODEL, 1))[0]
        frames = triangle_frames(posed, MODEL.triangles)
        world = to_world(means, quaternions, scales, frames[triangle])
        new = rebind(world[0], posed, MODEL.triangles)
        assert torch.equal(new, nearest_triangles(world[0], posed, MODEL.triangles).triangle)
        assert (new != triangle).any()
        again = to_world(*to_local(*world, frames[new]), frames[new])
        torch.testing.assert_close(again[0], world[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(quaternion_to_matrix(again[1]), quaternion_to_matrix(world[1]), rtol=0, atol=1e-5)
        torch.testing.assert_close(again[2], world[2])

    def test_surfels_on_their_triangle_stay_bound(self) -> None:
        binding = sample_binding(VERTICES, MODEL, 500, generator=seeded())
        inner = 0.98 * binding.barycentric + 0.02 / 3  # away from shared edges
        points = barycentric_to_points(VERTICES, MODEL.triangles, binding.triangle, inner)
        assert torch.equal(rebind(points, VERTICES, MODEL.triangles), binding.triangle)

    def test_labels_are_never_crossed(self) -> None:
        triangle, means, *_ = random_surfels(300)
        labels = rebinding_labels(MODEL)
        points = 0.1 * means
        new = rebind(points, VERTICES, MODEL.triangles, triangle, labels)
        assert torch.equal(labels[new], labels[triangle])
        for label in labels.unique():
            allowed = (labels == label).nonzero().flatten()
            moving = labels[triangle] == label
            alone = nearest_triangles(points[moving], VERTICES, MODEL.triangles[allowed])
            assert torch.equal(new[moving], allowed[alone.triangle])
        assert (rebind(points, VERTICES, MODEL.triangles) != new).any()
        with pytest.raises(ValueError, match="current"):
            rebind(points, VERTICES, MODEL.triangles, triangle_labels=labels)

    def test_labels_keep_lips_and_eyeballs_apart(self) -> None:
        labels = rebinding_labels(MODEL)
        on_jaw = MODEL.skinning_weights[MODEL.triangles, 2].mean(-1) > 0.5
        left, right = (MODEL.regions.triangle_mask(f"{s}_eyeball", MODEL.triangles) for s in ("left", "right"))
        groups = [on_jaw, left, right, ~(on_jaw | left | right)]
        assert all(len(labels[group].unique()) == 1 for group in groups)
        assert len({int(labels[group][0]) for group in groups}) == 4


def _rigid_motion(before: torch.Tensor, after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotation and shift of a rigid motion of points, by Kabsch."""
    a, b = before - before.mean(0), after - after.mean(0)
    u, _, vh = torch.linalg.svd(b.T @ a)
    turn = u @ torch.diag(torch.tensor([1.0, 1.0, float(torch.det(u @ vh))])) @ vh
    return turn, after.mean(0) - turn @ before.mean(0)
