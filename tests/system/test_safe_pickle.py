from __future__ import annotations

import codecs
import os
import pickle
import resource
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


def laughs(levels: int, kind: str) -> Any:
    value: Any = np.zeros(1000) if kind == "arrays" else ["ha"]
    for _ in range(levels):
        value = {str(i): value for i in range(10)} if kind == "dicts" else [value] * 10
    return value


def memo_bomb() -> bytes:
    return b"\x80\x02}r\xff\xff\xff\x7f."


def nested(opener: bytes, closer: bytes, levels: int) -> bytes:
    return b"\x80\x02}X\x01\x00\x00\x00x" + opener * levels + closer * levels + b"s."


def copies_of_a_list() -> bytes:
    """A list of 100,000 numbers, copied 100,000 times."""
    numbers = b"(" + b"K\x01" * 100_000 + b"lr\x00\x00\x00\x00"
    copy = b"cbuiltins\nlist\nj\x00\x00\x00\x00\x85R"
    return b"\x80\x02}X\x01\x00\x00\x00x(" + numbers + copy * 9000 + b"ls."


def wide(matrix: sparse.spmatrix) -> bytes:
    return pickle.dumps({"J_regressor": matrix})


BOMBS = {
    "billion laughs": (lambda: pickle.dumps({"x": laughs(12, "lists")}), "refers to its parts too often"),
    "laughing dicts": (lambda: pickle.dumps({"x": laughs(12, "dicts")}), "refers to its parts too often"),
    "laughing arrays": (lambda: pickle.dumps({"x": laughs(8, "arrays")}), "refers to its parts too often"),
    "memo index": (memo_bomb, "memo index 2147483647"),
    "memo index as text": (lambda: b"(dp99999999\n.", "memo index 99999999"),
    "copied lists": (copies_of_a_list, "refers to its parts too often"),
    "nested lists": (lambda: nested(b"(", b"l", 10_000), "nested deeper than 100 levels"),
    "nested tuples": (lambda: nested(b")", b"\x85", 400_000), "more than 10000 tuples"),
    "many instructions": (lambda: b"\x80\x02" + b"N0" * 600_000 + b"}.", "more than 1000000 instructions"),
    "long text": (lambda: b"\x80\x04}\x8d" + (2**62).to_bytes(8, "little") + b"abc.", "ends after the end of the file"),
    "long frame": (lambda: b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"}.", "not a readable pickle"),
    "long list of bytes": (lambda: b"\x80\x02}X\x01\x00\x00\x00xcbuiltins\nlist\nU\x02ab\x85Rs.", "container of a str"),
    "persistent": (lambda: b"Pfile\n.", "PERSID"),
    "sparse rows": (lambda: wide(sparse.csr_matrix((5, 10**10))), r"\[5, 10000000000\]"),
    "sparse coordinates": (
        lambda: wide(sparse.coo_matrix((10**10, 5))),
        r"\[10000000000, 5\]",
    ),
    "sparse square": (
        lambda: wide(sparse.csc_matrix((10**6, 10**6))),
        r"\[1000000, 1000000\], 7.28 TiB",
    ),
    "array of texts": (
        lambda: pickle.dumps({"x": np.array(["a"])}, protocol=2).replace(b"U1", b"U9"),
        "not a readable pickle",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_under_a_limit_of_memory(name: str, tmp_path: Path) -> None:
    make, message = BOMBS[name]
    path = write(tmp_path / "bomb.pkl", make())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(HeadModelError, match=rf"bomb\.pkl: .*{message}"):
        load_pickle(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20, "KiB"


def test_a_value_that_contains_itself_is_refused(tmp_path: Path) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(HeadModelError, match=r"v\.pkl: a value that contains itself"):
        load_pickle(write(tmp_path / "v.pkl", pickle.dumps({"x": value})))


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "v.pkl"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(HeadModelError, match=r"v\.pkl has 1 TiB; expected at most 512 MiB"):
        load_pickle(path)


def test_shared_parts_are_read_once(tmp_path: Path) -> None:
    array = np.arange(3)
    loaded = load_pickle(write(tmp_path / "v.pkl", pickle.dumps({"x": [array] * 3, "y": array})))
    assert all(each is loaded["y"] for each in loaded["x"])


def test_the_stand_ins_cannot_be_changed(tmp_path: Path) -> None:
    changed = b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__X\x01\x00\x00\x00as\x86b."
    with pytest.raises(HeadModelError, match=r"v\.pkl"):
        load_pickle(write(tmp_path / "v.pkl", changed))
    load_pickle(write(tmp_path / "w.pkl", pickle.dumps({"x": np.arange(3)}, protocol=2)))
