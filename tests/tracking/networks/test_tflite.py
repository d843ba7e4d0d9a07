"""TensorFlow Lite files that the tests write themselves, whole and broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sage_ns.errors import NetworkError
from sage_ns.tracking.networks.network import Network
from sage_ns.tracking.networks.tflite import read_tflite
from tests.tracking.tflite_writer import ADD, BIAS, CUSTOM, LOGISTIC, WEIGHT, model, small_network


def test_a_network_of_a_file_computes_what_torch_does():
    graph = read_tflite(small_network(), "file")
    assert [each.kind for each in graph.operations] == ["CONV_2D", "LOGISTIC"]
    picture = torch.rand(1, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    padded = F.pad(picture.permute(0, 3, 1, 2), (0, 1, 0, 1))  # "SAME" with stride 2: one more after
    weight = torch.from_numpy(WEIGHT.astype(np.float32)).permute(0, 3, 1, 2)
    expected = F.conv2d(padded, weight, torch.from_numpy(BIAS.astype(np.float32)), stride=2).sigmoid()
    torch.testing.assert_close(Network(graph, "file")(picture)[0].permute(0, 3, 1, 2), expected)


def test_half_precision_stays_and_what_nothing_uses_goes():
    graph = read_tflite(small_network(), "file")
    assert len(graph.shapes) == 5  # picture, weight, bias, sum, result
    assert {values.dtype for values in graph.constants.values()} == {np.dtype(np.float16)}


def one_step(code: int, inputs: list[int], outputs: list[int], options=(), **changes) -> bytes:
    constant = changes.pop("constant", np.ones(3, np.float32))
    shape = changes.pop("shape", (3,))
    tensors = [((3,), None), (shape, constant), ((3,), None)]
    return model(tensors, [(code, inputs, outputs, dict(options))], [0], [2], **changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no network of TensorFlow Lite"),
        (b"\0\0\0\0TFL2" + bytes(100), "no network of TensorFlow Lite"),
        (b"\0\0\0\0TFL3", "version 0"),
        (b"\xff\xff\xff\xffTFL3" + bytes(100), "cut or broken"),
        (one_step(ADD, [0, 1], [2], version=2), "version 2"),
        (one_step(ADD, [0, 1], [2], subgraphs=2), "2 networks in one file"),
        (one_step(9, [0, 1], [2]), "with the code 9"),
        (one_step(CUSTOM, [0, 1], [2]), "'Unheard'"),
        (one_step(ADD, [0, 1], [2, 2]), "2 outputs"),
        (one_step(ADD, [0, 7], [2]), "which no earlier one makes"),
        (one_step(ADD, [0, 2], [2]), "which no earlier one makes"),
        (one_step(ADD, [0, 1], [1]), "expected a new one"),
        (one_step(ADD, [0, 1], [99]), "expected a new one"),
        (one_step(ADD, [0, 1], [2], constant=np.ones(3, np.int8)), "not a quantised one"),
        (one_step(ADD, [0, 1], [2], constant=np.ones(2, np.float32)), "8 bytes for shape"),
        (one_step(ADD, [0, 1], [2], shape=(2**30, 2**30)), "bytes for shape"),
        (one_step(ADD, [0, 1], [2], shape=(-3, -1)), "bytes for shape"),
        (one_step(ADD, [0, 1], [2], constant=np.array([1, np.nan, 1], np.float32)), "not finite"),
        (one_step(ADD, [0, 1], [2], constant=np.array([1, 1e9, 1], np.float32)), "above 65504"),
        (model([((2**20, 2**10), None), ((3,), None)], [(LOGISTIC, [0], [1], {})], [0], [1]), "values"),
    ],
)
def test_what_is_no_such_network_is_refused(content: bytes, message: str):
    with pytest.raises(NetworkError, match=message) as caught:
        read_tflite(content, "some.tflite")
    assert "some.tflite" in str(caught.value)


def test_a_cut_anywhere_is_an_error_or_a_whole_network():
    whole = small_network()
    for length in range(0, len(whole) - 1, 7):
        with pytest.raises(NetworkError):
            Network(read_tflite(whole[:length], "cut"), "cut")


def test_no_flipped_bit_is_more_than_an_error():
    whole = small_network()
    random = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(whole)
        changed[random.integers(len(whole))] ^= 1 << random.integers(8)
        try:
            Network(read_tflite(bytes(changed), "flipped"), "flipped")
        except NetworkError:
            continue


def test_shapes_that_do_not_fit_the_operation_are_refused():
    graph = read_tflite(one_step(ADD, [0, 1], [2], constant=np.ones(2, np.float32), shape=(2,)), "file")
    with pytest.raises(NetworkError, match=r"operation 0 \(ADD\): its inputs do not fit"):
        Network(graph, "file")
    wrong = model([((3,), None), ((4,), None)], [(LOGISTIC, [0], [1], {})], [0], [1])
    with pytest.raises(NetworkError, match=r"makes shape \[3\], but the file says \[4\]"):
        Network(read_tflite(wrong, "file"), "file")
