from __future__ import annotations

import codecs
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from sage_ns.errors import HeadModelError
from sage_ns.system.safe_pickle import load_pickle
from tests.rig.flame_pickles import FLAVOURS, flame_contents, write
from tests.tiny import tiny_head_model


class Calls:
    """Its pickle calls the given function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple:
        return self.function, self.arguments


@pytest.mark.parametrize("flavour", FLAVOURS, ids=lambda f: f.__name__)
def test_every_flavour_gives_the_same_arrays(flavour, tmp_path: Path) -> None:
    contents = flame_contents(tiny_head_model(num_shape=5, num_expression=2))
    loaded = load_pickle(write(tmp_path / "head.pkl", flavour(contents)))
    assert loaded.keys() == contents.keys()
    for key, expected in contents.items():
        value = loaded[key].toarray() if sparse.issparse(loaded[key]) else loaded[key]
        np.testing.assert_array_equal(value, expected, err_msg=key)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        np.float32(2.5),
        np.zeros((0, 3)),
        np.array(7),
        np.array([1 + 2j]),
        np.array([True, False]),
        np.array(["lips", "nose"]),
        np.array([b"lips"]),
        np.array([[1, "a"], [None, 2.0]], dtype=object),
        np.arange(24.0).reshape(2, 3, 4)[:, ::2],
        {"nested": [np.arange(3), (np.float16(1), "text", b"", b"bytes", None, 3)]},
    ],
    ids=lambda v: type(v).__name__ + str(getattr(v, "dtype", "")),
)
def test_values_of_all_kinds_come_back(value: Any, protocol: int, tmp_path: Path) -> None:
    path = write(tmp_path / "v.pkl", pickle.dumps({"value": value}, protocol=protocol))
    np.testing.assert_equal(load_pickle(path), {"value": value})


def test_loaded_arrays_can_be_written_to(tmp_path: Path) -> None:
    path = write(tmp_path / "v.pkl", pickle.dumps({"value": np.arange(3)}))
    load_pickle(path)["value"][0] = 7


@pytest.mark.parametrize(
    "harm",
    [
        lambda flag: Calls(os.system, f"touch {flag}"),
        lambda flag: Calls(eval, f"open({str(flag)!r}, 'w')"),
        lambda flag: Calls(exec, f"open({str(flag)!r}, 'w')"),
        lambda flag: Calls(open, str(flag), "w"),
        lambda flag: Calls(np.memmap, str(flag), "u1", "w+", 0, (1,)),
        lambda flag: Calls(np.load, str(flag)),
        lambda flag: Calls(codecs.encode, "text", "rot13"),
        lambda flag: Calls(pickle.loads, b""),
        lambda flag: Calls(print, "hello"),
        lambda flag: Path(flag),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_never_runs(harm, protocol: int, tmp_path: Path) -> None:
    flag = tmp_path / "executed"
    path = write(tmp_path / "evil.pkl", pickle.dumps({"v_template": harm(flag)}, protocol=protocol))
    with pytest.raises(HeadModelError, match=r"evil\.pkl.*refused"):
        load_pickle(path)
    assert not flag.exists()


def test_the_refused_global_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "evil.pkl", pickle.dumps({"x": Calls(os.system, "true")}))
    with pytest.raises(HeadModelError, match=r"'(posix|nt)\.system'"):
        load_pickle(path)


def test_sparse_indices_out_of_range_are_refused(tmp_path: Path) -> None:
    matrix = sparse.csc_matrix(np.eye(3))
    matrix.indices[1] = 1_000_000
    path = write(tmp_path / "sparse.pkl", pickle.dumps({"J_regressor": matrix}))
    with pytest.raises(HeadModelError, match=r"sparse\.pkl"):
        load_pickle(path)


def test_bytes_are_never_taken_for_objects(tmp_path: Path) -> None:
    pickled = pickle.dumps({"x": np.array([0x1111, 0x2222])}, protocol=2)
    path = write(tmp_path / "x.pkl", pickled.replace(b"i8", b"O8"))
    with pytest.raises(HeadModelError, match=r"x\.pkl.*objects"):
        load_pickle(path)


def test_unknown_chumpy_nodes_are_refused(tmp_path: Path) -> None:
    pickled = b"\x80\x02}q\x00X\x01\x00\x00\x00xcchumpy.linalg\nsvd\n)\x81}bs."
    with pytest.raises(HeadModelError, match="chumpy node"):
        load_pickle(write(tmp_path / "x.pkl", pickled))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    whole = pickle.dumps(flame_contents(tiny_head_model(num_shape=2, num_expression=1)), protocol=2)
    for cut in (0, 1, 2, 50, 500, len(whole) // 2, len(whole) - 1):
        with pytest.raises(HeadModelError, match=r"head\.pkl"):
            load_pickle(write(tmp_path / "head.pkl", whole[:cut]))
    with pytest.raises(HeadModelError, match=r"head\.pkl"):
        load_pickle(write(tmp_path / "head.pkl", b"<html>please log in</html>"))
    with pytest.raises(HeadModelError, match="no such file"):
        load_pickle(tmp_path / "absent.pkl")
    with pytest.raises(HeadModelError, match=r"expected a pickled dict, found list"):
        load_pickle(write(tmp_path / "head.pkl", pickle.dumps([1])))


def test_noise_never_raises_anything_else(tmp_path: Path) -> None:
    whole = bytearray(pickle.dumps(flame_contents(tiny_head_model(num_shape=2, num_expression=1)), protocol=2))
    generator = np.random.default_rng(0)
    for _ in range(150):
        noisy = bytearray(whole)
        for position in generator.integers(0, min(len(whole), 3000), 3):
            noisy[position] = generator.integers(256)
        try:
            load_pickle(write(tmp_path / "head.pkl", bytes(noisy)))
        except HeadModelError as error:
            assert "head.pkl" in str(error)
