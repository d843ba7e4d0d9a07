"""The face landmarker's networks on LiteRT, the runtime they were published for: faster on a CPU than torch.

The optional package `ai-edge-litert` (extra `track-fast`) is found when a detector is opened.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sage_ns.errors import NetworkError
from sage_ns.tracking.face_landmarker import DETECTOR, LANDMARKS, SCORES, WEIGHTS, read_networks
from sage_ns.tracking.networks.files import read_task_members

_PACKAGE = "ai_edge_litert"


class LitertNetwork:
    """A network on LiteRT.

    Args:
        content: the TensorFlow Lite file.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

        self._interpreter: Any = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]

    def __call__(self, values: Tensor) -> list[Tensor]:
        """Return the outputs for an input in the network's shape."""
        self._interpreter.set_tensor(self._input, values.contiguous().numpy())
        self._interpreter.invoke()
        return [torch.from_numpy(self._interpreter.get_tensor(index).copy()) for index in self._outputs]


def litert_networks(path: Path | None) -> dict[str, LitertNetwork]:
    """Return the networks of Google's `face_landmarker.task` on LiteRT, by name.

    Args:
        path: the file; None or the package's own npz are refused, because LiteRT reads only Google's format.

    Raises:
        NetworkError: LiteRT is not installed, there is no `.task` file, or it is broken. The file is checked by this
            package's own reader before LiteRT, which trusts it, sees it.
    """
    if find_spec(_PACKAGE) is None:
        raise NetworkError(
            "The face detector 'litert' needs the package ai-edge-litert: pip install 'sage_ns[track-fast]'. Or choose "
            "'torch', which needs nothing."
        )
    if path is None or path.suffix == WEIGHTS.suffix:
        raise NetworkError(
            "The face detector 'litert' needs Google's face_landmarker.task: give that file (docs/tracking.md says "
            "where it is). Or choose 'torch', which needs none."
        )
    read_networks(path)
    return {name: LitertNetwork(each) for name, each in read_task_members(path, (DETECTOR, LANDMARKS, SCORES)).items()}
