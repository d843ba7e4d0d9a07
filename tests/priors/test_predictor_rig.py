"""Squares of pictures, and the rig that poses many people at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sage_ns.geometry.rotations import degrees_between
from sage_ns.priors.predictor_rig import (
    SquareCamera,
    flame_params,
    rig_key,
    used_directions,
)
from sage_ns.priors.predictor_size import PredictorSize
from sage_ns.priors.sitter import reference_head
from sage_ns.raster import PinholeCamera
from sage_ns.raster.cameras import project
from sage_ns.rig import pose_vertices
from tests.priors.predicted import cameras, double_rig, guesses, in_float64, landmarks
from tests.tiny import tiny_head_model


def test_the_axes_of_a_ray_look_along_it() -> None:
    camera = cameras(5)
    axes = camera.to_ray()
    away = (camera.center - camera.principal) / camera.focal[:, None]
    ray = torch.stack([away[:, 0], -away[:, 1], -torch.ones(5).double()], dim=1)
    torch.testing.assert_close(-axes[:, :, 2], ray / ray.norm(dim=1, keepdim=True))
    torch.testing.assert_close(axes @ axes.mT, torch.eye(3).double().expand(5, 3, 3))
    # The smallest rotation: its axis is at right angles to both directions.
    assert torch.allclose(degrees_between(axes, torch.eye(3).double().expand(5, 3, 3)), axes[:, 2, 2].acos().rad2deg())


def test_a_square_in_the_middle_turns_nothing() -> None:
    camera = cameras(2)
    axes = replace(camera, center=camera.principal).to_ray()
    torch.testing.assert_close(axes, torch.eye(3).double().expand(2, 3, 3))


def test_a_place_is_the_inverse_of_a_point() -> None:
    camera = cameras(6)
    place = 0.3 * torch.randn(6, 3).double()
    torch.testing.assert_close(camera.place(camera.point(place)), place)


def test_twice_the_size_in_the_square_is_half_the_distance() -> None:
    camera = cameras(1)
    near, far = (camera.point(torch.tensor([[0.1, 0.2, size]]).double()) for size in (torch.tensor(2.0).log(), 0.0))
    torch.testing.assert_close(2 * near, far)


def test_points_are_seen_where_a_pinhole_camera_sees_them() -> None:
    camera = cameras(1)
    points = torch.tensor([[[0.02, 0.05, -0.7], [-0.1, 0.0, -1.2]]]).double()
    focal, (cx, cy) = float(camera.focal), camera.principal[0].tolist()
    pinhole = PinholeCamera.from_opengl(torch.eye(4).double(), focal, focal, cx, cy, 640, 480)
    pixels = camera.center + (camera.within(points)[0] - 0.5) * camera.side[:, None]
    torch.testing.assert_close(pixels, project(points[0], pinhole).pixels)


def test_heads_stand_where_their_guesses_say() -> None:
    rig, guess, camera = double_rig(), guesses(4), cameras(4)
    heads = rig.located(guess, camera)
    seen = heads.points[:, : rig.num_landmarks].mean(dim=1)
    torch.testing.assert_close(camera.place(seen), guess.place)
    torch.testing.assert_close(heads.rotation, camera.to_ray() @ guess.rotation)


def test_the_reduced_rig_moves_as_the_whole_head() -> None:
    """Every row of the batch has an identity of its own."""
    model, rig, guess, camera = in_float64(reference_head()), double_rig(), guesses(3), cameras(3)
    heads = rig.located(guess, camera)
    for row in range(3):
        vertices = pose_vertices(model, flame_params(guess, heads, model, row))[0]
        corners = vertices[model.triangles[landmarks().triangle]]
        expected = (corners * landmarks().barycentric.double()[..., None]).sum(dim=1)
        torch.testing.assert_close(heads.points[row, : rig.num_landmarks], expected)


def test_turning_a_head_back_gives_the_head_at_rest() -> None:
    rig, guess, camera = double_rig(), guesses(2), cameras(2)
    heads = rig.located(guess, camera)
    still = rig.located(replace(guess, rotation=camera.to_ray().mT), camera)
    count = rig.num_landmarks
    torch.testing.assert_close(heads.around_face(count) @ heads.rotation, still.around_face(count))


def test_a_rig_is_known_by_its_content() -> None:
    head = reference_head()
    assert rig_key(head) == rig_key(replace(head, name="other"))
    changed = [
        replace(head, v_template=head.v_template + 1e-3),
        replace(head, shape_basis=1.1 * head.shape_basis),
        replace(head, triangles=head.triangles.flip(0)),
        replace(head, expression_basis=head.expression_basis.flip(-1)),
        tiny_head_model(),
    ]
    assert len({rig_key(each) for each in (head, *changed)}) == 6


def test_directions_that_move_nothing_are_not_predicted() -> None:
    assert used_directions(tiny_head_model(), 60) == (8, 10)
    assert used_directions(tiny_head_model(), 5) == (5, 5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("side", 40, "'side' is 40; expected a multiple of 16"),
        ("side", 16, "'side' is 16; expected 32 to 512"),
        ("width", 40, "'width' is 40; expected a multiple of 16"),
        ("heads", 3, "of the 3 'heads'"),
        ("blocks", 0, "'blocks' is 0; expected 1 to 24"),
        ("places", 301, "'places' is 301; expected an even number"),
        ("directions", 0, "'directions' is 0"),
    ],
)
def test_sizes_that_cannot_be(field: str, value: int, message: str) -> None:
    assert PredictorSize().fault() is None
    assert message in str(replace(PredictorSize(), **{field: value}).fault())


def test_squares_have_the_axes_of_their_cameras() -> None:
    """A camera whose square is far off sees the front of a head that looks at it."""
    camera = SquareCamera(*(torch.tensor(each) for each in ([500.0], [[320.0, 240.0]], [[620.0, 240.0]], [100.0])))
    towards = camera.to_ray()[0] @ torch.tensor([0.0, 0.0, 1.0])
    assert towards[0] < -0.5 and towards[2] > 0.8  # a head to the right of the picture looks left, to the camera
