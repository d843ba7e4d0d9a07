from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sage_ns.bench.loss_curve import LOSS, LossCurve, read_curve, smoothed


def fed(curve: LossCurve, first: int, last: int) -> None:
    for step in range(first, last):
        losses = {LOSS: torch.tensor(float(step))} | ({"l1": torch.tensor(9.0)} if step % 2 else {})
        curve.add(step, "reconstruct" if step < 4 else "self_supervise", losses)


def curve_of(folder: Path) -> tuple[list[int], list[float]]:
    found = read_curve(folder)
    assert found is not None
    return found[0].tolist(), found[1].tolist()


def test_only_posed_heads_of_phase_2_count(tmp_path: Path) -> None:
    assert read_curve(tmp_path) is None
    curve = LossCurve(tmp_path)
    curve.begin(0)
    fed(curve, 0, 9)
    curve.add(9, "self_supervise", {})
    curve.write()
    assert curve_of(tmp_path) == ([4, 6, 8], [4.0, 6.0, 8.0])


def test_a_resumed_training_continues_its_curve(tmp_path: Path) -> None:
    first = LossCurve(tmp_path)
    first.begin(0)
    fed(first, 0, 7)
    first.write()
    fed(first, 7, 10)  # lost with the process
    again = LossCurve(tmp_path)
    again.begin(6)
    fed(again, 6, 11)
    again.write()
    assert curve_of(tmp_path)[0] == [4, 6, 8, 10]
    anew = LossCurve(tmp_path)
    anew.begin(0)
    anew.write()
    assert curve_of(tmp_path) == ([], [])


def test_smoothing() -> None:
    values = np.array([1.0, 3.0, 5.0, 7.0])
    np.testing.assert_allclose(smoothed(values, 1), values)
    np.testing.assert_allclose(smoothed(values, 3), [2.0, 3.0, 5.0, 6.0])
    np.testing.assert_allclose(smoothed(values, 2), [2.0, 4.0, 6.0, 7.0])
    np.testing.assert_allclose(smoothed(values, 99), [4.0] * 4)
    assert len(smoothed(np.zeros(0), 5)) == 0
