"""Every reader of a user's file x every kind of damage: no traceback, hang, memory, code or silent acceptance.

A few hundred cases by default; --run-slow takes every array and field with every damage, and several seeds. To see one
case: `python -m tests.corpus.cases "SUBJECT" "DAMAGE"`, with the texts of its label.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import pytest

from tests.corpus.watch import Findings, run_corpus

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does"),
    pytest.mark.timeout(3600),  # the first test runs all cases
]

NAMES = (
    *("capture: transforms.json", "capture: transforms_train.json", "capture: transforms_val.json"),
    *("capture: transforms_test.json", "capture: images/00000_00.png", "capture: fg_masks/00001_00.png"),
    *("capture: parameters", "capture: head model"),
    *("head model: FLAME's pickle", "head model: FLAME's masks", "head model: masks beside it", "head model: npz"),
    *("INSTA: transforms", "INSTA: a picture", "INSTA: a checkpoint"),
    *("motion: npz of a sequence", "motion: npz folder", "motion: VHAP export", "motion: VHAP tracker"),
    *("motion: metrical-tracker", "motion: Live Link Face", "motion: MediaPipe's JSON lines"),
    *("motion: MediaPipe's csv", "driving bank", "camera path", "film"),
    *("MonoNPHM: checkpoint", "MonoNPHM: tracking", "prior mesh"),
    *("avatar file", "avatar file with a mouth", "mouth prior", "prior: linear", "predictor"),
    *(f"pseudo views: {name}" for name in ("transforms.json", "picture", "mask", "confidence")),
    *("run: config.yml", "run: snapshot", "run: head model", "run: checkpoint"),
    *("GaussianAvatars: splats", "GaussianAvatars: parameters", "truth of a surface"),
    *("benchmark: folder", "benchmark: result", "benchmark: job", "benchmark: clock"),
    *("networks: task", "networks: npz", "networks: tflite"),
    *("cameras: opencv", "cameras: transforms", "cameras: nersemble"),
    *("heads: SHeaP", "heads: SMIRK", "heads: Pixel3DMM"),
    *("eyelids", *(["super-resolution: weights"] if find_spec("spandrel") else [])),
)


@pytest.fixture(scope="session")
def quick() -> Findings:
    return run_corpus(extent="quick", num_workers=1)  # making the inputs takes longer than reading them all


@pytest.mark.parametrize("subject", NAMES)
def test_no_damage_does_harm(subject: str, quick: Findings) -> None:
    assert quick.num_cases[subject] >= 5
    assert not quick.faults.get(subject), "\n".join(quick.faults[subject])


def test_the_corpus_is_whole(quick: Findings) -> None:
    assert set(quick.num_cases) == set(NAMES)
    assert sum(quick.num_cases.values()) > 300


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_damage_of_any_part_does_harm() -> None:
    findings = run_corpus(extent="thorough", num_workers=os.cpu_count() or 1)
    assert sum(findings.num_cases.values()) > 1000
    assert not findings.faults, "\n".join(line for lines in findings.faults.values() for line in lines)
