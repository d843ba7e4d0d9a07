"""Smoothing: rest becomes still, blinks and speech stay."""

from __future__ import annotations

import pytest
import torch

from sage_ns.motion.smoothing import Smoother, smoothed
from sage_ns.rig import FlameParams
from sage_ns.rig.flame_params import NUM_POSE
from tests.tiny import tiny_head_model

MODEL = tiny_head_model()
JAW = FlameParams.JAW.start


@pytest.mark.parametrize("fps", [12.0, 30.0])
def test_a_blink_and_speech_stay(fps: float) -> None:
    time = torch.arange(int(4 * fps)) / fps
    vectors = torch.zeros(len(time), NUM_POSE + MODEL.num_expression)
    vectors[:, NUM_POSE] = 4 * (1 - (time - 2).abs() / 0.1).clamp(0, 1)
    vectors[:, JAW] = 0.075 * (1 - torch.cos(2 * torch.pi * 3 * time))
    found = smoothed(vectors, fps, MODEL)
    assert float(found[:, NUM_POSE].max()) > 0.85 * float(vectors[:, NUM_POSE].max())
    assert int(found[:, NUM_POSE].argmax()) == int(vectors[:, NUM_POSE].argmax()), "no delay"
    assert float(found[int(fps) :, JAW].max()) > 0.85 * 0.15


def test_noise_at_rest_is_halved() -> None:
    noise = 0.15 * torch.randn(120, NUM_POSE + MODEL.num_expression, generator=torch.Generator().manual_seed(0))
    noise[:, :NUM_POSE] = 0
    found = smoothed(noise, 30.0, MODEL)[:, NUM_POSE:]
    assert float(found.std()) < 0.6 * float(noise[:, NUM_POSE:].std())
    smooth = Smoother(MODEL)
    live = torch.stack([smooth(row, 1 / 30) for row in noise])[:, NUM_POSE:]
    assert float(live.std()) < 0.7 * float(noise[:, NUM_POSE:].std())


def test_what_is_constant_stays_and_one_moment_is_itself() -> None:
    row = torch.linspace(-1, 1, NUM_POSE + MODEL.num_expression)
    torch.testing.assert_close(smoothed(row.repeat(5, 1), 25.0, MODEL), row.repeat(5, 1))
    assert torch.equal(smoothed(row[None], 25.0, MODEL), row[None])
