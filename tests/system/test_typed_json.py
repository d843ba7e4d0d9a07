"""Dataclasses from JSON: read back exactly, and every field that does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sage_ns.bench.clock import Clock
from sage_ns.bench.folder import BENCHMARK_FILE, BenchmarkFolder
from sage_ns.bench.job import Job, Settings
from sage_ns.bench.result import Result
from sage_ns.errors import SageError
from sage_ns.system.typed_json import load_typed
from tests.bench.results import result


@dataclass(frozen=True)
class Part:
    size: float
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Whole:
    name: str
    count: int
    parts: tuple[Part, ...]
    place: Path | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    certain: bool = False
    anything: Any = None


WHOLE = Whole("a", 2**60, (Part(0.5), Part(2.0, ("x", "y"))), Path("/p"), {"k": 1.5}, True, [1])


def written(path: Path, **changes: Any) -> Path:
    content = {**asdict(WHOLE), "place": "/p", **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))
    return path


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    assert load_typed(Whole, written(tmp_path / "a.json"), SageError) == WHOLE
    few = load_typed(Whole, written(tmp_path / "a.json", weights=..., place=None, certain=...), SageError)
    assert (few.weights, few.place, few.certain) == ({}, None, False)
    assert load_typed(Whole, written(tmp_path / "a.json", count=...), SageError, count=7).count == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "'name': found 3, expected a text"),
        ({"name": ...}, "'name': found nothing, expected a value"),
        ({"count": 1.5}, "'count': found 1.5, expected a whole number"),
        ({"count": True}, "'count': found True, expected a whole number"),
        ({"certain": 1}, "'certain': found 1, expected true or false"),
        ({"parts": {}}, "'parts': found {}, expected a list"),
        ({"parts": [{"size": "x"}]}, r"'parts\.0\.size': found 'x', expected a finite number"),
        ({"parts": [{"size": float("nan")}]}, r"'parts\.0\.size': found nan, expected a finite number"),
        ({"parts": [{"size": 1, "colour": 2}]}, r"'parts\.0\.colour': found 2, expected no such field"),
        ({"parts": [7]}, r"'parts\.0': found 7, expected an object with the fields size, tags"),
        ({"weights": {"k": None}}, r"'weights\.k': found None, expected a finite number"),
        ({"place": "a\0b"}, "'place': found 'a.x00b', expected a path"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SageError, match=rf"a\.json: {message}\. Do this\."):
        load_typed(Whole, written(tmp_path / "a.json", **changes), SageError, "Do this.")


# ---- the files of a benchmark ---------------------------------------------------------------------------------------

BROKEN = ("[]", "{}", "null", '{"key": ', '{"step": "three"}', '{"row": 1}')


@pytest.mark.parametrize("content", BROKEN)
def test_broken_files_of_a_benchmark(content: str, tmp_path: Path) -> None:
    """Results and clocks count as absent and are made again; jobs and the folder's own file are refused by name."""
    for name in ("metrics.json", "clock.json", "job.json", BENCHMARK_FILE):
        (tmp_path / name).write_text(content)
    assert Result.load(tmp_path) is None
    assert Clock.read(tmp_path) is None or content == "{}"
    with pytest.raises(SageError, match=r"job\.json"):
        Job.load(tmp_path)
    with (
        pytest.raises(SageError, match=BENCHMARK_FILE),
        BenchmarkFolder(tmp_path).claimed([tmp_path / "head"], Settings("small")),
    ):
        raise AssertionError


def test_results_and_jobs_come_back(tmp_path: Path) -> None:
    made = result("surfels-single", 30.0)
    made.save(tmp_path)
    assert Result.load(tmp_path) == made
    for origin in ({**made.made_by, "gpu": float("nan")}, {"version": "1"}, {**made.made_by, "cores": "two"}):
        replace(made, made_by=origin).save(tmp_path)
        assert Result.load(tmp_path) is None
    job = Job(tmp_path, tmp_path / "head", "sage", 3, Settings("small", 4, 2, tmp_path / "h.npz"), "sage", "a", "b")
    job.save()
    assert Job.load(job.folder) == job
    with pytest.raises(SageError, match=r"job\.json: There is no row 'sagge'"):
        path = job.folder / "job.json"
        path.write_text(path.read_text().replace('"row": "sage"', '"row": "sagge"'))
        Job.load(job.folder)
