"""Surfels predicted by networks: posing, lossless baking, and networks fitted to given surfels."""

from __future__ import annotations

import pytest
import torch

from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.prediction import SurfelNetworks
from sage_ns.avatar.surfels import BoundSurfels
from sage_ns.field.sdf import FieldConfig
from sage_ns.geometry.rotations import axis_angle_to_matrix, quaternion_to_matrix
from sage_ns.geometry.spherical_harmonics import C0
from sage_ns.geometry.triangles import TriangleFrames, triangle_frames
from sage_ns.rig import to_world
from tests.tiny import tiny_head_model

NUM = 200
CONFIG = FieldConfig(num_levels=3, log2_table_size=10, coarsest=4, finest=21, hidden=16, num_features=4)


@pytest.fixture
def canonical() -> Canonical:
    torch.manual_seed(0)
    return Canonical(CONFIG, torch.zeros(3), 0.2, sh_degree=1, num_coarse=8, num_fine=8)


@pytest.fixture
def networks(canonical: Canonical) -> SurfelNetworks:
    torch.manual_seed(1)
    return SurfelNetworks(canonical, NUM, sh_degree=1, hidden=16)


@pytest.fixture
def frames() -> TriangleFrames:
    head_model = tiny_head_model()
    return triangle_frames(head_model.v_template, head_model.triangles)


@pytest.fixture
def surfels(frames: TriangleFrames) -> BoundSurfels:
    generator = torch.Generator().manual_seed(2)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    triangle = torch.randint(len(frames.scale), (NUM,), generator=generator)
    # A surfel along its triangle: the local frame's y axis is the triangle's normal.
    flat = torch.tensor([0.5**0.5, -(0.5**0.5), 0.0, 0.0]).repeat(NUM, 1)
    return BoundSurfels(
        triangle=triangle,
        means=0.1 * random(NUM, 3),
        quaternions=flat,
        log_scales=torch.full((NUM, 2), -2.0),
        opacity_logits=torch.full((NUM,), 0.4),
        sh_dc=torch.tensor([0.8, 0.1, -0.6]).expand(NUM, 1, 3).clone() + 0.01 * random(NUM, 1, 3),
        sh_rest=torch.zeros(NUM, 3, 3),
    )


def test_attributes_are_the_outputs_of_the_networks_at_canonical_positions(
    canonical: Canonical, networks: SurfelNetworks, surfels: BoundSurfels, frames: TriangleFrames
) -> None:
    attributes = networks(canonical, surfels, frames).attributes
    positions = surfels.centers(frames)
    sample = canonical.field.evaluate(positions, gradient="detached")
    shape = networks.shape(sample.encoding, canonical.field.normalised(positions), networks.detail_shape)
    _, quaternions, scales = to_world(
        surfels.means, attributes.quaternions, attributes.log_scales.exp(), frames[surfels.triangle]
    )
    assert torch.allclose(quaternion_to_matrix(quaternions), quaternion_to_matrix(shape.quaternions), atol=1e-5)
    assert torch.allclose(scales, shape.scales, rtol=1e-4)


def test_details_are_added_to_the_outputs_of_the_networks(
    canonical: Canonical, networks: SurfelNetworks, surfels: BoundSurfels, frames: TriangleFrames
) -> None:
    plain = networks(canonical, surfels, frames).attributes
    with torch.no_grad():
        networks.detail_dc.add_(0.1)
        networks.detail_rest.add_(0.15)
        networks.detail_opacity.add_(0.2)
        networks.detail_shape[:, 6] += 0.3
    detailed = networks(canonical, surfels, frames).attributes
    assert torch.allclose(detailed.sh_dc, plain.sh_dc + 0.1) and torch.allclose(detailed.sh_rest, plain.sh_rest + 0.15)
    assert torch.allclose(detailed.opacity_logits, plain.opacity_logits + 0.2)
    assert torch.allclose(detailed.log_scales, plain.log_scales + 0.3, atol=2e-3), "nearly: sizes are bounded"
    assert torch.allclose(detailed.quaternions, plain.quaternions)


def test_a_detail_can_turn_a_surfel_anywhere(
    canonical: Canonical, networks: SurfelNetworks, surfels: BoundSurfels, frames: TriangleFrames
) -> None:
    along_x = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, 0.6])  # flat along x, longer along z
    with torch.no_grad():
        networks.detail_shape[:, :6] += 50 * along_x
    local = networks(canonical, surfels, frames).attributes.quaternions
    rotations = frames.rotation[surfels.triangle] @ quaternion_to_matrix(local)
    assert (rotations[:, 0, 2].abs() > 0.99).all(), "the normal"


def test_predicted_surfels_ride_on_a_rig_that_moves(
    canonical: Canonical, networks: SurfelNetworks, surfels: BoundSurfels, frames: TriangleFrames
) -> None:
    attributes = networks(canonical, surfels, frames).attributes
    head_model = tiny_head_model()
    turn = axis_angle_to_matrix(torch.tensor([0.2, 0.7, -0.3]))
    moved = triangle_frames(head_model.v_template @ turn.T + 0.1, head_model.triangles)
    eye = torch.tensor([0.0, 0.0, 1.0])
    before = surfels.place(frames, eye, attributes=attributes)
    after = surfels.place(moved, eye, attributes=attributes)
    assert torch.allclose(after.means, before.means @ turn.T + 0.1, atol=1e-6)
    assert torch.allclose(
        quaternion_to_matrix(after.quaternions), turn @ quaternion_to_matrix(before.quaternions), atol=1e-5
    )
    assert torch.allclose(after.scales, before.scales, rtol=1e-4)


def test_baked_surfels_are_the_predicted_ones(
    canonical: Canonical, networks: SurfelNetworks, surfels: BoundSurfels, frames: TriangleFrames
) -> None:
    attributes = networks(canonical, surfels, frames).attributes
    eye = torch.tensor([0.1, 0.0, 1.0])
    predicted = surfels.place(frames, eye, attributes=attributes)
    surfels.keep(attributes)
    baked = surfels.place(frames, eye)
    for name in ("means", "quaternions", "scales", "opacities", "colors"):
        assert torch.equal(getattr(baked, name), getattr(predicted, name)), name


def test_every_parameter_learns_and_no_surfel_is_moved(
    canonical: Canonical, networks: SurfelNetworks, surfels: BoundSurfels, frames: TriangleFrames
) -> None:
    prediction = networks(canonical, surfels, frames)
    eye = torch.tensor([0.0, 0.0, 1.0])
    placed = surfels.place(frames, eye, attributes=prediction.attributes)
    tilt = (placed.quaternions * torch.tensor([0.1, 0.5, -0.4, 0.3])).sum()
    (
        tilt + placed.colors.sum() + placed.scales.log().sum() + placed.opacities.sum() + prediction.flatness.sum()
    ).backward()
    for name, parameters in networks.get_param_groups().items():
        assert any(float(each.grad.abs().max()) > 0 for each in parameters if each.grad is not None), name
    for parameter in canonical.appearance.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()
    assert surfels.means.grad is None or not surfels.means.grad.any(), "only images and the surface move surfels"


def test_fitted_networks_predict_the_surfels(
    canonical: Canonical, networks: SurfelNetworks, surfels: BoundSurfels, frames: TriangleFrames
) -> None:
    field_before = {name: value.clone() for name, value in canonical.field.state_dict().items()}
    networks.imitate(canonical, surfels, frames, torch.Generator().manual_seed(0), num_steps=400, batch_size=NUM)
    predicted = networks(canonical, surfels, frames).attributes
    assert float((predicted.sh_dc - surfels.sh_dc).abs().mean()) * C0 < 0.02
    assert torch.allclose(predicted.opacity_logits, surfels.opacity_logits, atol=0.1)
    local_normals = quaternion_to_matrix(predicted.quaternions)[..., 2]
    wanted = quaternion_to_matrix(surfels.quaternions)[..., 2]
    assert float((local_normals * wanted).sum(dim=-1).abs().median()) > 0.95
    sizes = predicted.log_scales.mean(dim=-1) - surfels.log_scales.mean(dim=-1)
    assert float(sizes.abs().median()) < 0.2
    for name, value in canonical.field.state_dict().items():
        assert torch.equal(value, field_before[name]), name


def test_a_checkpoint_brings_its_own_number_of_surfels(canonical: Canonical, networks: SurfelNetworks) -> None:
    other = SurfelNetworks(canonical, 7, sh_degree=1, hidden=16)
    parameter = other.detail_dc
    other.load_state_dict(networks.state_dict())
    assert other.detail_dc is parameter and len(parameter) == NUM


@pytest.fixture
def alone(canonical: Canonical) -> SurfelNetworks:
    torch.manual_seed(1)
    return SurfelNetworks(canonical, NUM, sh_degree=1, hidden=16, alone=True)


def test_networks_alone_have_nothing_per_surfel(
    canonical: Canonical, networks: SurfelNetworks, alone: SurfelNetworks, surfels: BoundSurfels, frames: TriangleFrames
) -> None:
    assert not [name for name, value in alone.named_parameters() if len(value) == NUM]
    assert set(alone.get_param_groups()) == {"shape"} and alone.details() == {}
    alone.shape.load_state_dict(networks.shape.state_dict())
    mine, theirs = (each(canonical, surfels, frames).attributes for each in (alone, networks))
    for name, value in vars(theirs).items():
        assert torch.equal(getattr(mine, name), value), f"{name}: details start at 0"
    # Surfels at one place have one look: nothing can tell them apart.
    with torch.no_grad():
        surfels.triangle.fill_(7)
        surfels.means.copy_(surfels.means[:1].clone())
    same = alone(canonical, surfels, frames).attributes
    assert torch.equal(same.sh_dc, same.sh_dc[:1].expand_as(same.sh_dc))


def test_colours_of_networks_alone_pull_at_positions(
    canonical: Canonical, networks: SurfelNetworks, alone: SurfelNetworks, surfels: BoundSurfels, frames: TriangleFrames
) -> None:
    """The gradient is that of finite differences where the appearance does not read the field's gradient."""
    with torch.no_grad():
        first = canonical.appearance.network.layers[0]
        assert isinstance(first, torch.nn.Linear)
        first.weight[:, 3:6] = 0.0
        canonical.field.encoding.table.uniform_(-0.3, 0.3)
    weights = torch.randn(NUM, 1, 3, generator=torch.Generator().manual_seed(3))

    def colors(means: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            surfels.means.copy_(means)
        return (weights * alone(canonical, surfels, frames).attributes.sh_dc).sum(dim=(1, 2))

    start = surfels.means.detach().clone()
    colors(start).sum().backward()
    found, step = surfels.means.grad, 1e-3
    assert found is not None
    for axis in range(3):
        offset = step * torch.eye(3)[axis]
        with torch.no_grad():
            slope = (colors(start + offset) - colors(start - offset)) / (2 * step)
        smooth = (slope - found[:, axis]).abs() < 0.05 * slope.abs().max()
        assert float(smooth.float().mean()) > 0.9, "nearly all: some lie at a cell's border or a kink of the network"
    surfels.means.grad = None
    networks(canonical, surfels, frames).attributes.sh_dc.sum().backward()
    assert surfels.means.grad is None


def test_networks_alone_come_back_from_a_checkpoint(canonical: Canonical, alone: SurfelNetworks) -> None:
    other = SurfelNetworks(canonical, 7, sh_degree=1, hidden=16, alone=True)
    other.load_state_dict(alone.state_dict())
    for mine, theirs in zip(other.parameters(), alone.parameters(), strict=True):
        assert torch.equal(mine, theirs)
