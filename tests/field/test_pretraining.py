from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sage_ns.field.pretraining import distance_samples, pretrain
from sage_ns.field.sdf import FieldConfig, SignedDistanceField
from sage_ns.synthetic.head import builtin_head
from sage_ns.system.cache import cache_dir
from tests.tiny import tiny_head_model

HALF_SIZE = 0.17
SMALL = FieldConfig(num_levels=3, log2_table_size=12, finest=35, hidden=16, num_features=3)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def new_field(config: FieldConfig = SMALL) -> SignedDistanceField:
    return SignedDistanceField(config, torch.zeros(3), HALF_SIZE)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def run(field: SignedDistanceField, **changes: Any) -> float:
    model = tiny_head_model()
    arguments: dict[str, Any] = {
        "vertices": model.v_template,
        "triangles": model.triangles,
        "seed": 3,
        "steps": 3,
        "progress": lambda steps, _: steps,
    }
    return pretrain(field, **{**arguments, **changes})


def test_without_another_progress_it_shows_a_bar() -> None:
    assert run(new_field(), progress=None) > 0.0


def refuse(steps: Iterable[int], description: str) -> Iterable[int]:
    raise AssertionError(f"{description}: expected the cached result")


def test_a_head_is_learnt_to_a_fraction_of_a_millimetre() -> None:
    head = builtin_head()
    field = new_field(FieldConfig(num_levels=5, finest=86, hidden=32))
    error = pretrain(field, head.v_template, head.triangles, seed=0, steps=80, progress=lambda steps, _: steps)
    assert error < 0.0005
    samples = distance_samples(head.v_template, head.triangles, field.center, HALF_SIZE, seed=1)
    num_surface = len(samples.normals)
    with torch.no_grad():
        found = field.distance(samples.points)
        gradient = field.evaluate(samples.points[:2000], gradient="detached").gradient
    assert gradient is not None
    assert abs(float(found[:num_surface].abs().mean()) - error) < 0.0001  # points that it was not trained on
    far = samples.distance.abs() > 0.003
    assert ((found > 0) == (samples.distance > 0))[far].double().mean() > 0.999
    cosine = torch.nn.functional.cosine_similarity(gradient, samples.normals[:2000], dim=-1)
    assert cosine.median() > 0.98


def test_samples_are_on_the_surface_near_it_and_in_the_cube() -> None:
    model = tiny_head_model()
    center = torch.tensor([0.0, 0.01, 0.0])
    samples = distance_samples(model.v_template, model.triangles, center, HALF_SIZE, seed=0)
    again = distance_samples(model.v_template, model.triangles, center, HALF_SIZE, seed=0)
    other = distance_samples(model.v_template, model.triangles, center, HALF_SIZE, seed=1)
    assert torch.equal(samples.points, again.points)
    assert not torch.equal(samples.points, other.points)
    assert samples.points.dtype == samples.distance.dtype == samples.normals.dtype == torch.float32
    assert len(samples.points) == len(samples.distance)
    num_surface = len(samples.normals)
    assert (samples.distance[:num_surface] == 0).all()
    torch.testing.assert_close(samples.normals.norm(dim=-1), torch.ones(num_surface))
    assert ((samples.points - center).abs() <= HALF_SIZE + 1e-6).all()
    about = samples.distance[num_surface:]
    assert ((about > 0).double().mean() - 0.55).abs() < 0.3


def test_a_second_fit_comes_from_the_cache(cache: Path) -> None:
    first, second = new_field(), new_field()
    assert not same(state(first), state(second))
    error = run(first)
    assert len(list(cache.iterdir())) == 1
    assert run(second, progress=refuse) == error
    assert same(state(first), state(second))


def test_the_callers_random_numbers_are_the_same_with_and_without_cache() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    for _ in range(2):
        field = new_field()
        torch.manual_seed(5)
        run(field)
        assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("change", ["vertices", "triangles", "seed", "steps", "open levels", "cube", "config"])
def test_what_the_result_depends_on_is_in_the_key(change: str, cache: Path) -> None:
    run(new_field())
    model = tiny_head_model()
    field, changes = new_field(), {}
    if change == "vertices":
        changes = {"vertices": model.v_template * 1.01}
    elif change == "triangles":
        changes = {"triangles": model.triangles.roll(1, dims=0)}
    elif change in ("seed", "steps"):
        changes = {change: 4}
    elif change == "open levels":
        field.set_open_levels(2.0)
    elif change == "cube":
        field = SignedDistanceField(SMALL, torch.tensor([0.0, 0.01, 0]), HALF_SIZE)
    else:
        field = SignedDistanceField(FieldConfig(**{**vars(SMALL), "num_features": 4}), torch.zeros(3), HALF_SIZE)
    run(field, **changes)
    assert len(list(cache.iterdir())) == 2
    if change == "open levels":
        assert field.encoding.open_levels == 2.0


@pytest.mark.parametrize("damage", ["cut off", "text", "empty", "another field", "not finite", "pickle"])
def test_a_damaged_file_is_ignored_and_replaced(damage: str, cache: Path) -> None:
    first, second = new_field(), new_field()
    error = run(first)
    (path,) = cache.iterdir()
    content = path.read_bytes()
    if damage in ("cut off", "text", "empty"):
        path.write_bytes({"cut off": content[: len(content) // 2], "text": b"hello", "empty": b""}[damage])
    else:
        saved = torch.load(path, weights_only=True)
        if damage == "another field":
            saved["field"]["hidden.bias"] = torch.zeros(7)
        elif damage == "not finite":
            saved["field"]["hidden.bias"][0] = float("nan")
        else:
            saved["field"] = Path("anything but tensors")
        torch.save(saved, path)
    steps: list[int] = []
    second.load_state_dict(state_before := state(new_field()))
    again = run(second, progress=lambda wanted, _: [steps.append(i) or i for i in wanted])
    assert steps == [0, 1, 2]
    assert not same(state(second), state_before)
    assert run(new_field(), progress=refuse) == again
    assert abs(again - error) < 0.02
    assert [p.name for p in cache.iterdir()] == [path.name]


@pytest.mark.parametrize("obstacle", ["file", "read-only"])
def test_pretraining_works_without_a_writable_folder(obstacle: str, cache: Path) -> None:
    if obstacle == "file":
        cache.write_text("in the way")
    else:
        cache.mkdir()
        cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert run(new_field()) > 0
    cache.chmod(stat.S_IRWXU)


def test_the_folder_is_the_environments_or_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("SAGE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "sage_ns"


def test_a_mesh_that_bounds_nothing_is_refused_before_any_step() -> None:
    with pytest.raises(ValueError, match="inwards"):
        run(new_field(), triangles=tiny_head_model().triangles.flip(1), progress=refuse)
