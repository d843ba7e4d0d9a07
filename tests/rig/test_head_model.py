from __future__ import annotations

import errno
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sage_ns.errors import HeadModelError, WriteError
from sage_ns.rig import HeadModel, find_head_model, load_head_model, load_masks, save_head_model
from tests.rig.flame_pickles import FLAVOURS, flame_contents, plain, write
from tests.tiny import tiny_head_model


def assert_equal(a: HeadModel, b: HeadModel, without: tuple[str, ...] = ()) -> None:
    for f in fields(HeadModel):
        if f.name in without:
            continue
        x, y = getattr(a, f.name), getattr(b, f.name)
        if f.name == "regions":
            assert x.names == y.names
            assert all(torch.equal(x.vertices(name), y.vertices(name)) for name in x.names)
        elif isinstance(x, Tensor):
            assert torch.equal(x, y) and x.dtype == y.dtype, f.name
        else:
            assert x == y, f.name


@pytest.fixture(scope="module")
def facekit(shared: Path) -> HeadModel:
    return load_head_model(shared / "facekit" / "head_model.pkl")


@pytest.fixture(params=["tiny", "facekit"])
def model(request: pytest.FixtureRequest) -> HeadModel:
    if request.param == "facekit":
        return request.getfixturevalue("facekit")
    extras = {
        "uv": torch.rand(60, 2),
        "uv_triangles": torch.randint(60, (tiny_head_model().num_triangles, 3)),
        "landmark_triangles": torch.arange(5),
        "landmark_barycentric": torch.full((5, 3), 1 / 3),
    }
    names = tuple(f"expression{i}" for i in range(10))
    return replace(tiny_head_model(), expression_names=names, **extras)


@pytest.mark.parametrize("flavour", FLAVOURS, ids=lambda f: f.__name__)
def test_every_flavour_of_pickle_gives_the_same_model(flavour, tmp_path: Path) -> None:
    model = tiny_head_model()
    loaded = load_head_model(write(tmp_path / "tiny.pkl", flavour(flame_contents(model))))
    assert_equal(loaded, model, without=("regions",))
    assert loaded.regions.names == ()


def test_half_precision_bases(tmp_path: Path) -> None:
    model = tiny_head_model()
    contents = flame_contents(model)
    for key in ("shapedirs", "posedirs"):
        contents[key] = contents[key].astype(np.float16)
    loaded = load_head_model(write(tmp_path / "tiny.pkl", plain(contents)))
    assert loaded.shape_basis.dtype == torch.float32
    torch.testing.assert_close(loaded.shape_basis, model.shape_basis.half().float(), rtol=0, atol=0)
    torch.testing.assert_close(loaded.pose_basis, model.pose_basis.half().float(), rtol=0, atol=0)


@pytest.mark.parametrize("root", [-1, 2**32 - 1])
def test_root_parent_in_either_notation(root: int, tmp_path: Path) -> None:
    contents = flame_contents(tiny_head_model())
    contents["kintree_table"][0, 0] = root
    loaded = load_head_model(write(tmp_path / "tiny.pkl", plain(contents)))
    assert loaded.parents.tolist() == [-1, 0, 1, 1, 1]


def test_facekit_keeps_its_empty_columns(facekit: HeadModel) -> None:
    assert (facekit.num_vertices, facekit.num_triangles, facekit.num_shape, facekit.num_expression) == (
        5073,
        10000,
        300,
        100,
    )
    assert (facekit.shape_basis[..., 100:] == 0).all() and (facekit.shape_basis[..., 99] != 0).any()
    assert (facekit.expression_basis[..., 40:] == 0).all() and (facekit.expression_basis[..., 39] != 0).any()
    assert "lips" in facekit.regions and facekit.uv is not None and facekit.landmark_triangles is not None


def test_npz_is_read_back_exactly(model: HeadModel, tmp_path: Path) -> None:
    save_head_model(model, tmp_path / "deep" / "head_model.npz")
    assert_equal(load_head_model(tmp_path / "deep" / "head_model.npz"), model)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["head_model.npz"]
    with np.load(tmp_path / "deep" / "head_model.npz", allow_pickle=False) as file:
        assert all(file[key].dtype != object for key in file.files)


def test_state_is_tensors_and_comes_back(model: HeadModel, tmp_path: Path) -> None:
    torch.save(model.state(), tmp_path / "state.pt")
    assert_equal(HeadModel.from_state(torch.load(tmp_path / "state.pt", weights_only=True)), model)


def test_masks_are_found_beside_the_pickle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_head_model()
    path = write(tmp_path / "flame2023.pkl", plain(flame_contents(model)))
    assert not load_head_model(path).regions
    assert "flame2023_masks.pkl" in capsys.readouterr().err.replace("\n", "")

    masks = {name: model.regions.vertices(name).numpy() for name in model.regions.names}
    write(tmp_path / "FLAME_masks.pkl", pickle.dumps(masks, protocol=2))
    assert_equal(load_head_model(path), replace(model, name="flame2023"))
    write(tmp_path / "flame2023_masks.pkl", pickle.dumps({"lips": [3, 1, 1]}))
    assert load_head_model(path).regions.vertices("lips").tolist() == [1, 3]
    assert load_head_model(path, tmp_path / "FLAME_masks.pkl").regions.names == model.regions.names
    assert capsys.readouterr().err == ""


def test_masks_of_another_model_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "FLAME_masks.pkl", pickle.dumps({"lips": [0, 5022]}))
    with pytest.raises(
        HeadModelError, match=r"FLAME_masks\.pkl: 'lips': found values in 0\.\.5022, expected .* 0\.\.53"
    ):
        load_masks(path, 54)


def _drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda contents: contents.pop(key)


def _set(key: str, change: Callable[[np.ndarray], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda contents: contents.update({key: change(contents[key])})


def _with_entry(index: tuple[int, ...], value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[index] = value
        return array

    return change


BROKEN = {
    **{
        f"no {key}": (_drop(key), rf"'{key}': found nothing")
        for key in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
    },
    "flat template": (
        _set("v_template", np.ravel),
        r"'v_template': found shape \[162\], expected shape \[num_vertices, 3\]",
    ),
    "other template": (
        _set("v_template", lambda a: a[:50]),
        r"'shapedirs': found shape \[54, 3, 310\], expected shape \[50",
    ),
    "few directions": (
        _set("shapedirs", lambda a: a[..., :300]),
        r"'shapedirs': found 300 directions, expected more than 300",
    ),
    "posedirs": (
        _set("posedirs", lambda a: a[..., :27]),
        r"'posedirs': found shape \[54, 3, 27\], expected shape \[54, 3, 36\]",
    ),
    "joints": (_set("J_regressor", lambda a: a[:4]), r"'J_regressor': found shape \[4, 54\], expected shape \[5, 54\]"),
    "weights shape": (
        _set("weights", lambda a: a[:, :4]),
        r"'weights': found shape \[54, 4\], expected shape \[54, 5\]",
    ),
    "weights sum": (_set("weights", lambda a: a * 1.01), r"'weights': found rows that sum to 1\.01\.\.1\.01"),
    "nan": (_set("v_template", _with_entry((3, 1), np.nan)), r"'v_template': found 1 non-finite .* \(3, 1\)"),
    **{
        f"huge {key}": (
            _set(key, _with_entry((0, 0), 1e30)),
            rf"'{key}': found numbers up to 1e\+30, expected numbers in",
        )
        for key in ("v_template", "shapedirs", "posedirs", "J_regressor")
    },
    "overflow": (_set("v_template", _with_entry((3, 1), 1e300)), r"'v_template': found 1 non-finite"),
    "texts": (_set("weights", lambda a: a.astype(str)), r"'weights': found type <U\d+, expected numbers"),
    "triangle range": (_set("f", _with_entry((2, 0), 54)), r"'f': found values in 0\.\.54, expected values in 0\.\.53"),
    "triangle type": (_set("f", lambda a: a + 0.5), r"'f': found type float64, expected integers"),
    "quads": (_set("f", lambda a: np.concatenate([a, a[:, :1]], 1)), r"'f': found shape \[90, 4\]"),
    "ragged": (_set("v_template", lambda a: [[1, 2], [3]]), r"'v_template': found an unreadable entry"),
    "loop": (_set("kintree_table", _with_entry((0, 1), 2)), r"'kintree_table': found parents \[-1, 2, 1, 1, 1\]"),
    "rootless": (_set("kintree_table", _with_entry((0, 0), 0)), r"'kintree_table': found parents \[0, 0, 1, 1, 1\]"),
}


@pytest.mark.parametrize(("spoil", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_pickles_name_file_key_found_and_expected(spoil, message: str, tmp_path: Path) -> None:
    contents = flame_contents(tiny_head_model())
    spoil(contents)
    with pytest.raises(HeadModelError, match=r"broken\.pkl: " + message):
        load_head_model(write(tmp_path / "broken.pkl", plain(contents)))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pose_basis", torch.zeros(36, 10), r"'pose_basis': found shape \[36, 10\], expected shape \[36, 162\]"),
        ("pose_basis", torch.zeros(27, 162), r"'pose_basis': found shape \[27, 162\]"),
        ("expression_names", torch.tensor(list(b"only one"), dtype=torch.uint8), r"found 1 names, expected 10"),
        ("region_sizes", torch.tensor([1, 2]), r"'region_sizes': found 2 sizes"),
        ("region_vertices", torch.tensor([54]), r"'region_vertices': found values in 54\.\.54"),
        ("triangles", torch.tensor([[0, 1, -1]]), r"'triangles': found values in -1\.\.1"),
        ("v_template", None, r"'v_template'"),
    ],
)
def test_broken_states_are_refused(key: str, value: Any, message: str) -> None:
    state = {**tiny_head_model().state(), key: value}
    with pytest.raises(HeadModelError, match=message):
        HeadModel.from_state(state)


def test_files_that_are_no_head_model(tmp_path: Path) -> None:
    with pytest.raises(HeadModelError, match=r"flame\.is\.tue\.mpg\.de.*synthesize"):
        load_head_model(tmp_path / "absent.pkl")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(HeadModelError, match=r"other\.npz: 'v_template': found nothing"):
        load_head_model(tmp_path / "other.npz")
    whole = (tmp_path / "other.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HeadModelError, match=r"cut\.npz: not a readable npz"):
        load_head_model(tmp_path / "cut.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "head_model.npz"
    path.write_bytes(b"old")

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(WriteError, match=r"head_model\.npz.*No space left"):
        save_head_model(tiny_head_model(), path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


class TestFindHeadModel:
    @pytest.fixture(autouse=True)
    def _no_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SAGE_HEAD_MODEL", raising=False)

    def test_explicit_comes_first_and_has_to_exist(self, tmp_path: Path) -> None:
        capture, own = tmp_path / "capture", tmp_path / "own.pkl"
        capture.mkdir()
        (capture / "head_model.npz").touch()
        with pytest.raises(HeadModelError, match=r"own\.pkl: no such file"):
            find_head_model(own, capture)
        own.touch()
        assert find_head_model(own, capture) == own

    def test_capture_then_parent_then_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        capture = tmp_path / "captures" / "mine"
        capture.mkdir(parents=True)
        elsewhere = tmp_path / "elsewhere.pkl"
        monkeypatch.setenv("SAGE_HEAD_MODEL", str(elsewhere))
        with pytest.raises(HeadModelError, match=r"SAGE_HEAD_MODEL\): no such file"):
            find_head_model(None, capture)
        elsewhere.touch()
        assert find_head_model(None, capture) == elsewhere
        (capture.parent / "flame2023.pkl").touch()
        assert find_head_model(None, capture) == capture.parent.resolve() / "flame2023.pkl"
        (capture / "generic_model.pkl").touch()
        assert find_head_model(None, capture) == capture / "generic_model.pkl"
        (capture / "head_model.npz").touch()
        assert find_head_model(capture_dir=capture) == capture / "head_model.npz"

    def test_none_says_where_to_get_one(self, tmp_path: Path) -> None:
        with pytest.raises(HeadModelError) as error:
            find_head_model(None, tmp_path)
        for hint in (str(tmp_path), "SAGE_HEAD_MODEL", "https://flame.is.tue.mpg.de", "sage-capture synthesize"):
            assert hint in str(error.value)
