"""Summaries over captures."""

from __future__ import annotations

import pytest

from sage_ns.bench.across import by_capture, difference, gap_closed_over, groups_of, larger_is_better, spread
from sage_ns.bench.across_table import across_json, across_sheets
from sage_ns.bench.job import Settings
from sage_ns.bench.result import Result
from sage_ns.bench.table import markdown
from tests.bench.results import result

PSNR = {
    "p001": {"surfels-single": 29.0, "surfels-multi": 33.0, "sage": 32.0},
    "p002": {"surfels-single": 31.0, "surfels-multi": 32.0, "sage": 31.0},
}


def results(end: str = "", change: float = 0.0) -> list[Result]:
    return [
        result(row, psnr + change, capture=capture + end)
        for capture, rows in PSNR.items()
        for row, psnr in rows.items()
    ]


def test_a_capture_counts_once_however_many_seeds_it_has() -> None:
    seeds = [result("sage", 30.0, seed, capture="a") for seed in (1, 2, 3)] + [result("sage", 20.0, capture="b")]
    values = by_capture(seeds, "sage", "frontal", "psnr")
    assert values == {"a": 30.0, "b": 20.0}
    found = spread(values, "psnr")
    assert found is not None
    assert (found.mean, found.worst, found.worst_capture, found.num_captures) == (25.0, 20.0, "b", 2)
    assert found.deviation == pytest.approx(50**0.5)


def test_the_worst_of_an_error_is_the_largest() -> None:
    assert larger_is_better("aligned_psnr_eyes") and not larger_is_better("gmsd") and not larger_is_better("lpips_face")
    found = spread({"a": 0.1, "b": 0.3}, "gmsd")
    assert found is not None and found.worst_capture == "b"
    assert spread({}, "psnr") is None


def test_differences_are_taken_within_a_capture() -> None:
    found = difference(results(), "sage", "surfels-single", "frontal", "psnr", ("p001", "p002"))
    assert found is not None
    assert (found.mean, found.worst, found.worst_capture) == (1.5, 0.0, "p002")
    only_one = [*results(), result("sage-no-mouth", 31.0, capture="p001")]
    single = difference(only_one, "sage-no-mouth", "sage", "frontal", "psnr", ("p001", "p002"))
    assert single is not None and (single.mean, single.num_captures, single.deviation) == (-1.0, 1, None)
    assert difference(only_one, "sage-no-anchor", "sage", "frontal", "psnr", ("p001",)) is None


def test_the_gap_is_that_of_the_means() -> None:
    # (3 + 0) / (4 + 1); the mean of 3/4 and 0/1 would be 0.375
    gap = gap_closed_over(results(), "surfels-single", "surfels-multi", "all", "psnr", ("p001", "p002"))
    assert gap == pytest.approx(0.6)
    no_gap = gap_closed_over(results(), "surfels-multi", "surfels-single", "all", "psnr", ("p001", "p002"))
    assert no_gap is None


def test_exact_tracking_is_a_group_of_its_own() -> None:
    with_noise, exact = groups_of(["p001", "p001_exact", "p002"])
    assert with_noise.captures == ("p001", "p002") and exact.captures == ("p001_exact",)
    assert "with noise" in with_noise.title and "without noise" in exact.title
    (group,) = groups_of(["a", "b"])
    assert group.title == "2 captures"


def test_sheets_of_both_groups() -> None:
    sheets = across_sheets([*results(), *results("_exact", 4.0)])
    levels = next(sheet for sheet in sheets if "without noise: mean" in sheet.title)
    assert levels.headings == ("row", "all cameras", "novel view")
    assert levels.rows[0] == ("surfels-single", "33.00 ± 1.41 (32.00 p001_exact)", "39.00 ± 1.41 (38.00 p001_exact)")
    changes = next(sheet for sheet in sheets if "change against surfels-multi" in sheet.title)
    assert changes.rows[1][:2] == ("sage", "-1.00 ± 0.00 (-1.00 p001)")
    gaps = next(sheet for sheet in sheets if "gap closed" in sheet.title)
    assert gaps.rows[0] == ("surfels", "0.60")


def test_one_capture_has_no_summary() -> None:
    assert across_sheets([result("sage", 30.0)]) == [] and across_json([result("sage", 30.0)]) == []


def test_the_summary_comes_first_in_the_file() -> None:
    text = markdown(results(), Settings("small"))
    assert text.index("2 captures: mean") < text.index("p001: self-reenactment")
    (group,) = across_json(results())
    assert group["rows"]["sage"]["all"]["psnr"]["worst_capture"] == "p002"
