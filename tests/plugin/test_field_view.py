"""More outputs for those who look: made when asked for, of the surface as it is by now."""

from __future__ import annotations

import pytest
import torch

from sage_ns.avatar.canonical import Canonical
from sage_ns.avatar.personal_rig import PersonalRig
from sage_ns.field.sdf import FieldConfig
from sage_ns.plugin import field_view
from sage_ns.plugin.field_view import FieldView, LazyOutputs
from sage_ns.raster import PinholeCamera
from sage_ns.rig import FlameParams
from tests.tiny import tiny_head_model

WHITE = torch.ones(3)


def camera() -> PinholeCamera:
    camera_to_world = torch.eye(4)
    camera_to_world[2, 3] = 1.0
    return PinholeCamera.from_opengl(camera_to_world, 60.0, 60.0, 16.0, 16.0, 32, 32)


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> FieldView:
    """Of a new field, which is about a sphere of half its cube's size, 10 cm."""
    monkeypatch.setattr(field_view, "CELL_SIZE", 0.02)
    torch.manual_seed(0)
    head_model = tiny_head_model()
    neutral = FlameParams.neutral(head_model)
    config = FieldConfig(num_levels=2, log2_table_size=8, coarsest=4, finest=9, hidden=64, num_features=3)
    canonical = Canonical(config, torch.zeros(3), 0.2, sh_degree=1, num_coarse=8, num_fine=8)
    return FieldView(canonical, PersonalRig(head_model, neutral), neutral.motion_vector()[0])


def test_images_are_made_when_they_are_asked_for_and_once() -> None:
    made = []

    def image() -> torch.Tensor:
        made.append(1)
        return torch.ones(2)

    outputs = LazyOutputs({"rgb": torch.zeros(2)}, {"sdf": image})
    assert list(outputs) == ["rgb", "sdf"] and "sdf" in outputs and not made
    assert torch.equal(outputs["rgb"], torch.zeros(2)) and not made
    assert torch.equal(outputs["sdf"], torch.ones(2))
    outputs["more"] = torch.full((1,), 3.0)
    assert [name for name, value in outputs.items() if isinstance(value, torch.Tensor)] == ["rgb", "sdf", "more"]
    assert len(outputs.values()) == 3 and outputs.get("sdf") is outputs["sdf"] and outputs.get("none") is None
    assert len(made) == 1


def test_colour_normal_and_depth_are_those_of_the_surface(view: FieldView) -> None:
    images = {name: make() for name, make in view.outputs(camera(), view.motion, WHITE).items()}
    assert set(images) == {"sdf_rgb", "sdf_normal", "sdf_depth"}
    middle, corner = (16, 16), (0, 0)
    assert 0.85 < float(images["sdf_depth"][middle]) < 0.95, "the front of a sphere of about 10 cm, a metre away"
    assert torch.allclose(images["sdf_normal"][middle], torch.tensor([0.5, 0.5, 1.0]), atol=0.1)
    assert torch.allclose(images["sdf_rgb"][middle], torch.full((3,), 0.5), atol=0.1), "new appearance is grey"
    assert torch.equal(images["sdf_rgb"][corner], WHITE)
    assert torch.equal(images["sdf_depth"][corner], images["sdf_depth"].amax(dim=(0, 1)))


def test_the_surface_follows_the_rig(view: FieldView) -> None:
    moved = view.motion.clone()
    moved[0] += 0.05  # translation
    rest, after = (view.outputs(camera(), motion, WHITE)["sdf_rgb"]() for motion in (view.motion, moved))
    hit_rest, hit_after = ((image != 1).any(dim=-1) for image in (rest, after))
    assert torch.equal(hit_rest[:, :-3], hit_after[:, 3:]), "60 px of focal length times 5 cm at a metre are 3 px"


def test_training_makes_the_surface_stale_now_and_then(view: FieldView, monkeypatch: pytest.MonkeyPatch) -> None:
    view.outputs(camera(), view.motion, WHITE)["sdf_rgb"]()
    first = view._mesh
    table = next(view.canonical.field.encoding.parameters())
    with torch.no_grad():
        table.mul_(1.0)
    view.outputs(camera(), view.motion, WHITE)["sdf_rgb"]()
    assert view._mesh is first, "one step is not worth a new mesh"
    monkeypatch.setattr(field_view, "_STEPS_UNTIL_STALE", 2)
    with torch.no_grad():
        table.mul_(1.0)
    view.outputs(camera(), view.motion, WHITE)["sdf_rgb"]()
    assert view._mesh is not first
