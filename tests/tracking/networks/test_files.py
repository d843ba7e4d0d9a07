"""Files of networks: the package's npz, `.task` and `.tflite`, round trips and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.errors import NetworkError
from sage_ns.tracking.networks.files import read_graphs, write_graphs
from sage_ns.tracking.networks.graph import Graph, Operation
from sage_ns.tracking.networks.network import Network, require_shapes
from sage_ns.tracking.networks.tflite import read_tflite
from tests.tracking.tflite_writer import small_network, task


def written(path: Path) -> Path:
    write_graphs(path, {"one": read_tflite(small_network(), "one"), "two": read_tflite(small_network(), "two")})
    return path


def test_all_three_kinds_of_files_hold_the_same_network(tmp_path: Path):
    (tmp_path / "one.tflite").write_bytes(small_network())
    (tmp_path / "both.task").write_bytes(task({"one.tflite": small_network(), "more.binarypb": b"x"}))
    picture = torch.rand(1, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    results = []
    for path in (tmp_path / "one.tflite", tmp_path / "both.task", written(tmp_path / "both.npz")):
        graph = read_graphs(path, ["one"])["one"]
        results.append(Network(graph, str(path))(picture)[0])
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def changed(path: Path, **arrays: np.ndarray | None) -> Path:
    with np.load(written(path)) as stored:
        content = {**stored, **{name.replace("__", "."): values for name, values in arrays.items()}}
    np.savez(path, **{name: values for name, values in content.items() if values is not None})
    return path


def structure(**changes: object) -> np.ndarray:
    graph = {
        "shapes": [[3], [3]], "inputs": [0], "outputs": [1], "constants": [],
        "operations": [{"kind": "RELU", "inputs": [0], "output": 1, "options": {}}], **changes,
    }  # fmt: skip
    return np.frombuffer(json.dumps(graph).encode(), np.uint8)


NONE = np.zeros(0, np.float16)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"one__weights": None}, "'one.weights': found nothing"),
        ({"one__structure": np.frombuffer(b"{", np.uint8)}, "no JSON"),
        ({"one__structure": np.frombuffer(b"[" * 100_000, np.uint8)}, "no JSON"),
        ({"one__structure": np.frombuffer(b"[]", np.uint8)}, "expected an object"),
        ({"one__structure": structure()}, "weights, expected 0"),
        ({"one__structure": structure(shapes=[[3], [-3]]), "one__weights": NONE}, "positive sizes"),
        ({"one__structure": structure(shapes=[[2**20, 2**20], [3]]), "one__weights": NONE}, "values"),
        ({"one__structure": structure(outputs=[0.5]), "one__weights": NONE}, "expected a whole number"),
        ({"one__structure": structure(outputs=[7]), "one__weights": NONE}, "outputs are not all made"),
        ({"one__structure": structure(inputs=[0, 0]), "one__weights": NONE}, "inputs, outputs and operations"),
        ({"one__structure": structure(inputs=[-1]), "one__weights": NONE}, "inputs are not all tensors"),
        ({"one__structure": structure(constants=[{"tensor": 5}]), "one__weights": NONE}, "has a constant 5"),
        ({"one__structure": structure(constants=[{"tensor": 0, "integers": [1, 2, 10**30]}]), "one__weights": NONE},
         "beyond 64 bits"),
        ({"one__structure": structure(constants=[{"tensor": 0, "integers": [1]}]), "one__weights": NONE}, "1 values"),
    ],
)  # fmt: skip
def test_an_npz_of_something_else_is_refused(tmp_path: Path, arrays, message: str):
    path = changed(tmp_path / "networks.npz", **arrays)
    with pytest.raises(NetworkError, match=message) as caught:
        read_graphs(path, ["one"])
    assert "networks.npz" in str(caught.value)


def test_an_unknown_operation_is_refused(tmp_path: Path):
    graph = Graph(((3,), (3,)), (0,), (1,), {}, (Operation("EXPLODE", (0,), 1, {}),))
    write_graphs(tmp_path / "networks.npz", {"one": graph})
    with pytest.raises(NetworkError, match="operation 0 \\(EXPLODE\\)"):
        Network(read_graphs(tmp_path / "networks.npz", ["one"])["one"], "networks.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable npz"),
        (b"PK\x03\x04 and no more", "not a readable npz"),
        (task({"two.tflite": small_network()}), r"has no one\.tflite"),
        (task({"one.tflite": small_network()[:50]}), r"one\.tflite: is cut or broken"),
        (task({"one.tflite": small_network(), "x": b"y" * 100})[:-30], "not a readable npz"),
    ],
)
def test_a_broken_task_is_refused(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "face.task").write_bytes(content)
    with pytest.raises(NetworkError, match=message) as caught:
        read_graphs(tmp_path / "face.task", ["one"])
    assert "face.task" in str(caught.value)


def test_a_checksum_that_differs_is_noticed(tmp_path: Path):
    content = bytearray(task({"one.tflite": small_network()}))
    content[120] ^= 1
    (tmp_path / "face.task").write_bytes(content)
    with pytest.raises(NetworkError, match="not a readable zip"):
        read_graphs(tmp_path / "face.task", ["one"])


def test_a_single_network_has_no_names(tmp_path: Path):
    (tmp_path / "one.tflite").write_bytes(small_network())
    with pytest.raises(NetworkError, match="holds one network, expected one, two"):
        read_graphs(tmp_path / "one.tflite", ["one", "two"])


def test_another_network_than_the_one_needed_is_refused():
    network = Network(read_tflite(small_network(), "file"), "file")
    require_shapes(network, "file", [(1, 4, 4, 2)], [(1, 2, 2, 2)])
    with pytest.raises(NetworkError, match="file: found inputs"):
        require_shapes(network, "file", [(1, 4, 4, 3)], [(1, 2, 2, 2)])


def test_weights_beyond_half_precision_are_not_written(tmp_path: Path):
    constant = np.array([1.0, 65519.0, 70000.0], np.float32)
    graph = Graph(((3,), (3,), (3,)), (0,), (2,), {1: constant}, (Operation("ADD", (0, 1), 2, {}),))
    with pytest.raises(NetworkError, match="too large for float16"):
        write_graphs(tmp_path / "networks.npz", {"one": graph})
    assert not list(tmp_path.iterdir())
