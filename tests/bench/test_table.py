from __future__ import annotations

import json
from dataclasses import replace

from sage_ns.bench.job import Settings
from sage_ns.bench.result import ImageFigures
from sage_ns.bench.sheet import Sheet, as_markdown, as_rich
from sage_ns.bench.table import as_json, markdown, origin, sheets
from sage_ns.evaluation.figures import measure_of, title_of
from tests.bench.results import MADE_BY, result

SETTINGS = Settings("small", downscale_factor=4)
THREE = [result("surfels-single", 20.0), result("surfels-multi", 30.0), result("sage", 28.0)]


def test_markdown() -> None:
    sheet = Sheet("About", ("row", "a|b"), [("x", "1"), ("y", "2")])
    assert as_markdown(sheet) == "About\n\n| row | a\\|b |\n| --- | ---: |\n| x | 1 |\n| y | 2 |\n"


def test_the_console_shows_brackets_as_they_are() -> None:
    table = as_rich(Sheet("[x]", ("row", "b"), [("[red]", "[1]")]))
    assert list(table.columns[0].cells) == ["\\[red]"] and table.columns[1].justify == "right"


def test_figures_of_one_seed() -> None:
    expressions, costs, gaps = sheets("head", THREE)
    assert expressions.rows[2] == ("sage", "28.00 / 0.280", "- / -", "27.00 / 0.270", "- / -")
    assert "±" not in expressions.title
    assert costs.rows[0] == (
        *("surfels-single", "25.00 / 0.250", "- / -"),
        *("11 s", "setup 1 s, reconstruct 10 s", "1,000", "1.00 GiB"),
    )
    assert gaps.rows == [["PSNR", "0.80", "0.80"], ["SSIM", "0.80", "0.80"]]
    assert "against surfels = (SAGE - surfels single)" in gaps.title


def test_the_papers_gap_is_that_against_gaussian_avatars() -> None:
    yardstick = [result("gaussian-avatars-single", 18.0), result("gaussian-avatars-multi", 29.0)]
    *_, surfels, gaussians = sheets("head", [*THREE, *yardstick])
    assert surfels.headings == ("figure", "frontal camera", "all cameras")
    assert gaussians.headings == ("figure", "frontal camera", "the paper's", "all cameras", "the paper's")
    assert gaussians.rows == [["PSNR", "0.91", "0.94", "0.91", "0.87"], ["SSIM", "0.91", "0.73", "0.91", "0.70"]]
    assert "against gaussian-avatars = (SAGE - gaussian-avatars single)" in gaussians.title
    (alone,) = sheets("head", [THREE[2], *yardstick])[2:]
    assert alone.rows == gaussians.rows


def test_several_seeds_show_their_spread() -> None:
    expressions = sheets("head", [result("sage", 30.0, seed=1), result("sage", 32.0, seed=2)])[0]
    assert expressions.rows[0][1] == "31.00 ± 1.41 / 0.310 ± 0.014"
    assert "2 seeds" in expressions.title


def test_without_a_gap_there_is_none_to_close() -> None:
    made = [result("surfels-single", 30.0), result("surfels-multi", 30.0), result("sage", 28.0)]
    assert sheets("head", made)[2].rows[0] == ["PSNR", "no gap", "no gap"]


def test_ablations_beside_the_papers() -> None:
    made = [result("sage", 28.0), result("sage-no-self-supervision", 25.0), result("sage-no-mouth", 28.5)]
    rows = sheets("head", made)[-1].rows
    assert rows[0] == ["sage-no-self-supervision", "-3.00", "-", "+0.35", "-3.00", "-", "-4.46"]
    assert rows[1] == ["sage-no-mouth", "+0.50", "-", "", "+0.50", "-", ""]


def test_the_file_says_where_figures_come_from() -> None:
    text = markdown(THREE, SETTINGS)
    assert "2,000 steps, preset small, 1/4 of the resolution; P, 2 cores; sage_ns 1 (abc), 2026-01-02." in text
    assert "| sage | SAGE, one moment |" in text
    other = result("sage", 20.0, made_by={**MADE_BY, "cores": 2, "commit": None, "date": "2026-01-05T00:00:00"})
    assert "1 (abc) and 1 (no commit), 2026-01-02 to 2026-01-05" in origin([THREE[0], other], SETTINGS)


def test_json() -> None:
    content = json.loads(json.dumps(as_json(THREE, SETTINGS, {"version": "1"})))
    head = content["captures"]["head"]
    assert content["version"] == "1" and content["settings"]["downscale_factor"] == 4
    assert head["rows"]["sage"]["figures"]["frontal"]["psnr"] == {"mean": 28.0, "deviation": None}
    assert head["gap_closed"]["surfels"]["all"]["psnr"] == 0.8 and head["gap_closed"]["gaussian-avatars"] == {}
    assert head["runs"][0]["figures"]["all"]["psnr"] == 19.0


def test_tables_by_region_and_after_alignment() -> None:
    """Rows with all figures, and pictures of another method, which cannot be aligned."""
    figures = {"psnr_eyes": 25.0, "psnr_mouth_open": 20.0, "ms_ssim": 0.95, "gmsd": 0.08}
    aligned = {"aligned_psnr": 31.5, "aligned_ssim": 0.97, "aligned_psnr_eyes": 26.0, "aligned_shift": 1.25}
    moments = tuple(
        ImageFigures(timestep, 8, {"psnr": 30.0 - timestep, **figures, **aligned}, strength=float(timestep))
        for timestep in (1, 2, 3, 4)
    )
    bare = tuple(replace(each, figures={"psnr": 20.0, **figures}) for each in moments)
    rows = [
        result("surfels-single", 30.0, reenactment=moments),
        result("theirs", 20.0, reenactment=bare, seconds={}, num_steps=0, seed=0, pictures_from="/there/pictures"),
    ]
    by_title = {sheet.title: sheet for sheet in sheets("head", rows)}
    (regions,) = (sheet for title, sheet in by_title.items() if "by region" in title)
    assert regions.headings[1:4] == ("eyes", "mouth, open", "hardest quarter")
    assert regions.rows[0] == ("surfels-single", "25.00", "20.00", "26.00", "-", "0.950", "0.080")
    (after,) = (sheet for title, sheet in by_title.items() if "after alignment" in title)
    assert "(not for theirs: pictures cannot be drawn again)" in after.title
    assert after.rows[0][:4] == ("surfels-single", "31.50 / 0.970", "+4.00", "- / -")
    assert after.rows[0][-2:] == ("1.25", "-") and set(after.rows[1][1:]) <= {"-", "- / -"}
    (costs,) = (sheet for title, sheet in by_title.items() if "costs" in title)
    assert costs.rows[1][-4:] == ("-",) * 4
    text = markdown(rows, SETTINGS)
    assert "| theirs | another method's pictures, from the folder pictures |" in text
    assert "2,000 steps, preset" in text and "seeds" not in text


def test_every_figure_has_words() -> None:
    assert title_of("psnr") == "PSNR" and title_of("ms_ssim_face") == "MS-SSIM, face"
    assert title_of("aligned_psnr_mouth_open") == "PSNR, mouth, open, aligned"
    assert measure_of("aligned_shift") is None and title_of("aligned_shift") == "shift, aligned"
    smaller = [name for name in ("psnr", "aligned_gmsd_face", "lpips_face", "ms_ssim") if not is_better_larger(name)]
    assert smaller == ["aligned_gmsd_face", "lpips_face"]


def is_better_larger(name: str) -> bool:
    measure = measure_of(name)
    assert measure is not None
    return measure.larger_is_better
