"""Gradients to motion and shape, through every stage from vertices to pixels, against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.correction import CorrectionSource, SurfelCorrection
from sage_ns.avatar.mouth import Mouth, load_mouth_prior
from sage_ns.geometry.rotations import quaternion_to_matrix
from sage_ns.raster import PinholeCamera
from sage_ns.rig import FlameParams, HeadModel, identity_vertices
from sage_ns.synthetic.head import builtin_head
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar

HEAD = tiny_head_model()
PARTS = {
    "translation": slice(0, 3),
    "rotation": slice(3, 6),
    "neck": slice(6, 9),
    "jaw": slice(9, 12),
    "eyes": slice(12, 18),
    "expression": slice(18, 18 + HEAD.num_expression),
}
"""Slices of these parts in a motion vector."""
CENTER = torch.tensor([0.1, 0.05, 1.0], dtype=torch.float64)
Stage = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""From a motion and a template to tensors."""


@cache
def avatar() -> Avatar:
    """In double precision; no surfel is round, whose axes would have no derivative."""
    made = tiny_avatar(HEAD, 80).double()
    with torch.no_grad():
        made.surfels.log_scales[:, 0] += 0.7
    made.interior = torch.ones_like(made.interior)
    return made.requires_grad_(False)


@cache
def full_head() -> HeadModel:
    """The head model with its identity basis, in double precision."""
    values = {name: getattr(HEAD, name) for name in vars(HEAD)}
    return replace(
        HEAD,
        **{
            name: value.double()
            for name, value in values.items()
            if isinstance(value, Tensor) and value.is_floating_point()
        },
    )


def motion_at(where: str) -> Tensor:
    made = avatar()
    if where == "canonical":
        return made.motion.canonical().clone()
    if where == "zero":  # where the textbook rotation formulas divide zero by zero
        return torch.zeros(made.motion.num_coefficients, dtype=torch.float64)
    return 0.3 * torch.randn(made.motion.num_coefficients, generator=torch.Generator().manual_seed(5)).double()


def vertices(motion: Tensor, template: Tensor) -> tuple[Tensor, ...]:
    return (avatar().poses.at(motion, template).vertices,)


def frames(motion: Tensor, template: Tensor) -> tuple[Tensor, ...]:
    pose = avatar().poses.at(motion, template)
    return (pose.frames.origin, pose.frames.rotation, pose.frames.scale)


def placed(motion: Tensor, template: Tensor, **look: float) -> tuple[Tensor, ...]:
    surfels = avatar().place(CENTER, motion, replace(avatar().look, **look), template=template)  # type: ignore[arg-type]
    # A quaternion and its negative are one rotation, and either may come out.
    return (surfels.means, quaternion_to_matrix(surfels.quaternions), surfels.scales, surfels.colors)


def uncorrected(motion: Tensor, template: Tensor) -> tuple[Tensor, ...]:
    return placed(motion, template, correction=False, wrinkles=0.0)


def corrected(motion: Tensor, template: Tensor) -> tuple[Tensor, ...]:
    return placed(motion, template, wrinkles=0.0)


def wrinkled(motion: Tensor, template: Tensor) -> tuple[Tensor, ...]:
    return placed(motion, template, wrinkles=0.4)


STAGES: dict[str, Stage] = {each.__name__: each for each in (vertices, frames, uncorrected, corrected)}


def assert_gradients_fit(function: Callable[[Tensor], tuple[Tensor, ...]], parameter: Tensor) -> None:
    """Each output, weighed at random, by each number of the parameter: central differences."""
    leaf, step = parameter.clone().requires_grad_(), 1e-6
    outputs = function(leaf)
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in outputs]

    def weighed(values: Tensor) -> Tensor:
        return torch.stack([(w * each).sum() for w, each in zip(weights, function(values), strict=True)])

    found = [
        torch.autograd.grad((w * each).sum(), leaf, retain_graph=True)[0]
        for w, each in zip(weights, outputs, strict=True)
    ]
    for index in range(len(parameter)):
        offset = step * torch.eye(len(parameter), dtype=torch.float64)[index]
        with torch.no_grad():
            expected = (weighed(parameter + offset) - weighed(parameter - offset)) / (2 * step)
        for gradient, slope in zip(found, expected, strict=True):
            torch.testing.assert_close(gradient[index], slope, rtol=1e-4, atol=1e-6)
    assert any((gradient != 0).any() for gradient in found), "the parameter is connected"


@pytest.mark.parametrize("where", ["zero", "canonical", "elsewhere"])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("stage", STAGES)
def test_gradients_of_motion(stage: str, part: str, where: str) -> None:
    motion, template, chosen = motion_at(where), avatar().rig.v_template, PARTS[part]

    def function(values: Tensor) -> tuple[Tensor, ...]:
        moved = torch.cat([motion[: chosen.start], values, motion[chosen.stop :]])
        return STAGES[stage](moved, template)

    assert_gradients_fit(function, motion[chosen])


@pytest.mark.parametrize("part", ["jaw", "expression"])
def test_gradients_through_wrinkles(part: str) -> None:
    """Not at rest, where wrinkles have no derivative."""
    motion, chosen = motion_at("elsewhere"), PARTS[part]

    def function(values: Tensor) -> tuple[Tensor, ...]:
        moved = torch.cat([motion[: chosen.start], values, motion[chosen.stop :]])
        return wrinkled(moved, avatar().rig.v_template)

    assert_gradients_fit(function, motion[chosen])


@pytest.mark.parametrize("where", ["zero", "elsewhere"])
@pytest.mark.parametrize("stage", STAGES)
def test_gradients_of_shape(stage: str, where: str) -> None:
    """The full head model turns shape coefficients into a template, which the rig poses."""
    neutral, motion, used = FlameParams.neutral(full_head()), motion_at(where), 3

    def function(coefficients: Tensor) -> tuple[Tensor, ...]:
        shape = torch.cat([coefficients, torch.zeros(full_head().num_shape - used).double()])
        return STAGES[stage](motion, identity_vertices(full_head(), replace(neutral, shape=shape)))

    assert_gradients_fit(function, torch.tensor([0.4, -0.3, 0.2], dtype=torch.float64))


@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize("source", ["transport", "gradient"])
def test_gradients_through_the_other_corrections(source: CorrectionSource, gamma: float) -> None:
    made, motion = avatar(), motion_at("elsewhere")
    rest = made.poses.at(made.motion.canonical())
    means = made.surfels.centers(rest.frames)
    correction = SurfelCorrection(means, made.surfels.triangle, made.rig.head_model, rest.vertices, source, gamma)

    def function(values: Tensor) -> tuple[Tensor, ...]:
        pose = made.poses.at(torch.cat([motion[:9], values, motion[12:]]))
        surfels = made.surfels.place(pose.frames, CENTER)
        found = correction.apply(surfels, correction.at(pose.vertices, pose.frames))
        return (found.means, quaternion_to_matrix(found.quaternions), found.scales)

    assert correction.corrected.any() or source == "gradient"
    assert_gradients_fit(function, motion[9:12])


# ---- pixels ------------------------------------------------------------------------------------------------------


def camera(width: int = 24) -> PinholeCamera:
    camera_to_world = torch.eye(4, dtype=torch.float64)
    camera_to_world[:3, 3] = CENTER
    return PinholeCamera.from_opengl(camera_to_world, 70.0, 70.0, width / 2, width / 2, width, width)


def drawn(made: Avatar, motion: Tensor, template: Tensor | None = None) -> Tensor:
    """A number that depends on every pixel of several buffers."""
    view = camera().to(dtype=motion.dtype)
    buffers = made.draw_fine(view, motion, template=template)
    total = torch.zeros((), dtype=motion.dtype)
    generator = torch.Generator().manual_seed(1)
    for name in ("color", "alpha", "normal"):
        image = getattr(buffers, name)
        total = total + (torch.rand(image.shape, generator=generator).to(image) * image).sum()
    return total


def slope(function: Callable[[Tensor], Tensor], at: Tensor, direction: Tensor) -> float:
    """Central difference over a step so small that no pixel crosses the rasteriser's least opacity."""
    step = 1e-8 * direction
    return float(function(at + step) - function(at - step)) / 2e-8


@pytest.mark.parametrize("where", ["zero", "elsewhere"])
@pytest.mark.parametrize("part", PARTS)
def test_gradients_of_motion_from_pixels(part: str, where: str) -> None:
    motion = motion_at(where).requires_grad_()
    (gradient,) = torch.autograd.grad(drawn(avatar(), motion), motion)
    direction = torch.zeros_like(gradient)
    direction[PARTS[part]] = torch.randn(
        PARTS[part].stop - PARTS[part].start, generator=torch.Generator().manual_seed(2)
    ).double()
    expected = slope(lambda moved: drawn(avatar(), moved), motion.detach(), direction)
    assert expected != 0 and float(gradient @ direction) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_gradients_of_shape_from_pixels() -> None:
    neutral, motion = FlameParams.neutral(full_head()), motion_at("elsewhere")

    def function(shape: Tensor) -> Tensor:
        return drawn(avatar(), motion, identity_vertices(full_head(), replace(neutral, shape=shape)))

    shape = torch.zeros(full_head().num_shape, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(function(shape), shape)
    direction = torch.zeros_like(gradient)
    direction[:8] = 1.0
    expected = slope(function, shape.detach(), direction)
    assert float(gradient @ direction) == pytest.approx(expected, rel=1e-4)


def test_compiled_pixels_give_the_gradients_of_the_definition() -> None:
    """In single precision the rasteriser is compiled; the rig is posed and placed by torch."""
    single = deepcopy(avatar()).float()
    motions = [motion_at("elsewhere").to(each).requires_grad_() for each in (torch.float64, torch.float32)]
    gradients = []
    for made, motion in zip((avatar(), single), motions, strict=True):
        (gradient,) = torch.autograd.grad(drawn(made, motion), motion)
        gradients.append(gradient.double())
    double, found = gradients
    for part, chosen in PARTS.items():
        assert float((found - double)[chosen].norm()) < 0.02 * float(double[chosen].norm()), part


def test_round_surfels_at_rest_have_finite_gradients() -> None:
    made = tiny_avatar(HEAD, 50).double()
    assert (made.surfels.log_scales[:, 0] == made.surfels.log_scales[:, 1]).all()
    motion = made.motion.canonical().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(drawn(made, motion), motion)
    assert gradient.isfinite().all() and (gradient != 0).all()


# ---- gradients of motion ---------------------------------------------------------------------------------------------


def test_only_a_motion_that_requires_gradients_gets_them() -> None:
    made, view = avatar(), camera()
    motion = motion_at("elsewhere")
    assert not made.place(CENTER, motion).means.requires_grad
    assert not made.render(motion, view).requires_grad
    tracked = motion.clone().requires_grad_()
    assert made.place(CENTER, tracked).colors.requires_grad
    picture = made.render(tracked, view)
    (gradient,) = torch.autograd.grad(picture.sum(), tracked)
    assert gradient.isfinite().all() and (gradient != 0).any()
    params = FlameParams.from_motion_vector(tracked[None])
    torch.testing.assert_close(torch.autograd.grad(made.render(params, view).sum(), tracked)[0], gradient)
    with torch.no_grad():
        assert not made.render(tracked, view).requires_grad
    torch.testing.assert_close(made.render(motion, view), picture.detach())
    assert not made.place(CENTER, motion).means.requires_grad, "no graph is cached"


def test_surfels_have_the_same_gradients_with_and_without_those_of_the_motion() -> None:
    made = tiny_avatar(HEAD, 60).double()
    gradients = []
    for motion in (motion_at("elsewhere"), motion_at("elsewhere").requires_grad_()):
        loss = drawn(made, motion)
        gradients.append(torch.autograd.grad(loss, list(made.surfels.parameters())))
    for without, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, without)


def test_a_pose_with_gradients_places_surfels_where_the_compiled_path_does() -> None:
    single = tiny_avatar(HEAD, 80)
    motion = motion_at("elsewhere").float()
    expected, found = (
        single.place(CENTER.float(), motion),
        single.place(CENTER.float(), motion.clone().requires_grad_()),
    )
    for name in vars(expected):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-5)


# ---- mouth ---------------------------------------------------------------------------------------------------------


@cache
def mouth() -> Mouth:
    return Mouth(builtin_head(), load_mouth_prior()).double()


@pytest.mark.parametrize("part", ["translation", "rotation", "neck", "jaw", "expression"])
def test_gradients_of_the_mouth(part: str) -> None:
    num = mouth().rig.head_model.num_expression
    chosen = PARTS[part] if part != "expression" else slice(18, 18 + num)
    motion = torch.zeros(18 + num, dtype=torch.float64)
    motion[9] = 0.2

    def function(moved: Tensor) -> Tensor:
        surfels, generator = mouth().place(moved, CENTER), torch.Generator().manual_seed(0)
        outputs = (surfels.means, surfels.quaternions, surfels.scales, surfels.colors)
        return torch.stack([(torch.rand(o.shape, generator=generator) * o).sum() for o in outputs]).sum()

    leaf = motion.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(leaf), leaf)
    direction = torch.zeros_like(motion)
    direction[chosen] = 1.0
    expected = float(function(motion + 1e-6 * direction) - function(motion - 1e-6 * direction)) / 2e-6
    assert float(gradient @ direction) == pytest.approx(expected, rel=1e-4)


def test_the_mouth_keeps_no_graph() -> None:
    motion = torch.zeros(18 + mouth().rig.head_model.num_expression, dtype=torch.float64)
    kept = mouth().vertices(motion)
    assert mouth().vertices(motion.clone().requires_grad_()).requires_grad
    assert mouth().vertices(motion) is kept and not kept.requires_grad
    assert not mouth().place(motion, CENTER).means.requires_grad
