"""The corpus itself: what counts as the same values, and what counts as harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_ns.errors import SageError
from tests.corpus import cases
from tests.corpus.cases import Corpus
from tests.corpus.damage import CANARY, Damage
from tests.corpus.subject import Subject, fingerprint


def test_the_same_values_have_the_same_fingerprint() -> None:
    array = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    for other in (np.asfortranarray(array), array.astype(">f4"), array.astype(np.float64), torch.from_numpy(array)):
        assert fingerprint({"a": other}) == fingerprint({"a": array})
    for other in (array.T, array + 1, [array], {"b": array}, None):
        assert fingerprint({"a": other}) != fingerprint({"a": array})
    with pytest.raises(ValueError, match="not finite"):
        fingerprint([np.array([np.nan])])


def refuse(path: Path) -> Any:
    raise SageError(f"{path} is damaged")


def refuse_without_a_name(path: Path) -> Any:
    raise SageError("something is damaged")


def crash(path: Path) -> Any:
    raise KeyError("field")


def run_code(path: Path) -> Any:
    os.system(f"touch {os.environ[CANARY]}")
    refuse(path)


def hold_nan(path: Path) -> Any:
    return float("nan")


def read(path: Path) -> Any:
    return path.read_bytes()


@pytest.mark.parametrize(
    ("reader", "verdict", "fault"),
    [
        (refuse, "refuse", None),
        (refuse, "any", None),
        (refuse, "same", "refused: "),
        (refuse_without_a_name, "any", "the error does not name a.json"),
        (crash, "any", "KeyError: 'field'"),
        (run_code, "refuse", "code from the file was run"),
        (hold_nan, "any", "accepted, but it holds a number that is not finite"),
        (read, "refuse", "accepted"),
        (read, "right", "accepted, but its values differ"),
        (read, "same", "accepted, but its values differ"),
        (read, "any", None),
    ],
)
def test_harm_is_noticed(
    reader: Any, verdict: Any, fault: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(folder: Path) -> Path:
        (folder / "a.json").write_text("{}")
        return folder / "a.json"

    def whole_or(path: Path) -> Any:
        return read(path) if path.read_text() == "{}" else reader(path)

    def spoil(spot: Any) -> None:
        spot.path.unlink()
        spot.path.write_text("[]")

    monkeypatch.setenv(CANARY, "")
    monkeypatch.setattr(cases, "all_subjects", lambda: [Subject("s", "json", write, whole_or)])
    monkeypatch.setattr(cases, "byte_damages", lambda: [Damage("d", verdict, spoil)])
    monkeypatch.setattr(cases, "_STRUCTURAL", {"json": list})
    corpus = Corpus(tmp_path, "quick")
    (case,) = corpus.cases
    found = corpus.run(case)
    assert (found is None) == (fault is None) and (found or "").startswith(fault or "")
