from __future__ import annotations

import json
from pathlib import Path

import pytest

from sage_ns.bench.result import Result
from sage_ns.bench.summary import gap_closed, gaps_closed, paper_gap_closed, summarise
from tests.bench.results import image, result


def test_views() -> None:
    made = result("sage", 30.0)
    assert made.figures("frontal")["psnr"] == 30.0
    assert made.figures("all") == {"psnr": pytest.approx(29.0), "ssim": pytest.approx(0.29)}
    assert made.figures("novel_view")["psnr"] == 35.0
    assert result("sage", 30.0, reenactment=(), frontal_camera=-1).figures("all") == {}


def test_novel_views_count_at_the_canonical_moment_where_it_has_any() -> None:
    several = (image(0, 8, 30.0), image(1, 8, 20.0))
    assert result("sage", 0.0, novel_view=several).figures("novel_view")["psnr"] == 30.0
    assert result("sage", 0.0, novel_view=several, canonical_timestep=7).figures("novel_view")["psnr"] == 25.0


def test_a_face_counts_where_it_is_in_view() -> None:
    made = result("sage", 0.0, reenactment=(image(5, 8, 30.0, face=20.0), image(6, 8, 40.0)))
    assert made.figures("all")["psnr"] == 35.0
    assert made.figures("all")["psnr_face"] == 20.0


def test_rows_in_the_tables_order_over_seeds() -> None:
    made = [result("sage", 31.0, seed=1), result("surfels-single", 20.0), result("sage", 33.0, seed=2)]
    single, sage = summarise(made)
    assert (single.row, sage.row) == ("surfels-single", "sage")
    assert single.figures["frontal"]["psnr"].deviation is None
    psnr = sage.figures["frontal"]["psnr"]
    assert psnr.mean == 32.0 and psnr.deviation == pytest.approx(2**0.5)
    assert sage.seconds.mean == 11.0


def test_gap_closed() -> None:
    assert gap_closed(20.0, 30.0, 28.0) == pytest.approx(0.8)
    assert gap_closed(20.0, 30.0, 31.0) == pytest.approx(1.1)
    assert gap_closed(20.0, 30.0, 19.0) == pytest.approx(-0.1)
    assert gap_closed(0.2, 0.1, 0.15, larger_is_better=False) == pytest.approx(0.5)
    assert gap_closed(30.0, 30.0, 31.0) is None
    assert gap_closed(0.1, 0.2, 0.15, larger_is_better=False) is None


def test_gaps_need_all_three_rows() -> None:
    made = [result("surfels-single", 20.0), result("surfels-multi", 30.0)]
    assert gaps_closed(summarise(made)) == {}
    gaps = gaps_closed(summarise([*made, result("sage", 25.0)]))
    assert gaps["frontal"]["psnr"] == pytest.approx(0.5)
    assert gaps["all"]["ssim"] == pytest.approx(0.5)


def test_each_baseline_has_a_gap_of_its_own() -> None:
    made = [result("gaussian-avatars-single", 10.0), result("gaussian-avatars-multi", 30.0), result("sage", 25.0)]
    assert gaps_closed(summarise(made)) == {}
    assert gaps_closed(summarise(made), "gaussian-avatars")["all"]["psnr"] == pytest.approx(0.75)


def test_the_papers_gaps() -> None:
    assert paper_gap_closed("frontal", "psnr") == pytest.approx(0.94, abs=0.005)
    assert paper_gap_closed("all", "psnr") == pytest.approx(0.87, abs=0.005)
    assert paper_gap_closed("all", "psnr_face") is None
    assert paper_gap_closed("novel_view", "psnr") is None


def test_results_can_be_read_back(tmp_path: Path) -> None:
    made = result("sage", 30.0)
    made.save(tmp_path)
    assert Result.load(tmp_path) == made


@pytest.mark.parametrize("change", [{"row": "no such row"}, {"row": ""}, {"capture": "\ud800"}])
def test_results_of_unknown_rows_are_none(change: dict[str, str], tmp_path: Path) -> None:
    result("sage", 30.0).save(tmp_path)
    content = json.loads((tmp_path / "metrics.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps(content | change))
    assert Result.load(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"novel_view": [], "reenactment": [{"a": 1}]}'])
def test_unreadable_results_are_none(content: str, tmp_path: Path) -> None:
    assert Result.load(tmp_path) is None
    (tmp_path / "metrics.json").write_text(content)
    assert Result.load(tmp_path) is None
