"""PLY files of plain vertices: plyfile reads the same values, and errors name broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plyfile
import pytest

from sage_ns.exchange.ply import SplatFileError, read_ply, write_ply

PROPERTIES = {"x": np.arange(5, dtype=np.float32), "b": np.linspace(-1, 1, 5, dtype=np.float32)}


def test_what_is_written_is_read_here_and_by_plyfile(tmp_path: Path) -> None:
    write_ply(tmp_path / "new" / "a.ply", PROPERTIES, ["made of discs"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.ply"]
    theirs = plyfile.PlyData.read(tmp_path / "new" / "a.ply")
    assert theirs.comments == ["made of discs"] and theirs.byte_order == "<" and not theirs.text
    assert [(p.name, p.val_dtype) for p in theirs["vertex"].properties] == [("x", "f4"), ("b", "f4")]
    ours = read_ply(tmp_path / "new" / "a.ply")
    assert list(ours) == ["x", "b"]
    for name, values in PROPERTIES.items():
        np.testing.assert_array_equal(ours[name], values)
        np.testing.assert_array_equal(theirs["vertex"][name], values)


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_files_of_other_writers_are_read(tmp_path: Path, byte_order: str) -> None:
    table = np.zeros(3, dtype=[("x", "f8"), ("red", "u1")])
    table["x"], table["red"] = [1.5, -2, 3], [1, 2, 255]
    element = plyfile.PlyElement.describe(table, "vertex")
    plyfile.PlyData([element], byte_order=byte_order, obj_info=["from elsewhere"]).write(tmp_path / "b.ply")
    read = read_ply(tmp_path / "b.ply")
    np.testing.assert_array_equal(read["x"], table["x"])
    np.testing.assert_array_equal(read["red"], table["red"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"glTF\x02\x00\x00\x00", "not a PLY"),
        (b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\n", "no end"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "format ascii"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\n"
            b"element face 1\nproperty list uchar int vertex_index\nend_header\n",
            "element face 1",
        ),
        (b"ply\nformat binary_little_endian 1.0\nelement vertex 2\nproperty float x\nend_header\n\0\0\0\0", "4 bytes"),
        (b"ply\nformat binary_little_endian 1.0\nelement vertex 0\nend_header\n", "no vertex properties"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.ply"
    path.write_bytes(content)
    with pytest.raises(SplatFileError, match=message) as refused:
        read_ply(path)
    assert "broken.ply" in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SplatFileError, match=r"none\.ply: no such file"):
        read_ply(tmp_path / "none.ply")
