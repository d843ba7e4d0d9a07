"""Plans, tables and plots of suites, from invented captures and results; nothing is trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sage_ns.bench.job import Job, Settings
from sage_ns.bench.loss_curve import CURVE_FILE
from sage_ns.bench.measured import CaptureFacts, Measured, measured_once
from sage_ns.bench.plots import save_plot
from sage_ns.bench.result import Result
from sage_ns.bench.rows import ROWS, SAGE_MULTI, check_rows, find_row
from sage_ns.bench.suite_run import plan_suites
from sage_ns.bench.suites import describe_suites, suite_of, suites
from sage_ns.errors import SageError
from tests.bench.results import result
from tests.tiny_capture import write_tiny_capture

FEW, ALL = frozenset({1, 3, 5}), frozenset(range(6))
FACTS = CaptureFacts(
    folder=Path("/captures/head"),
    head_model=None,
    canonical=0,
    cameras={0: ALL, 20: FEW, 7: FEW, 3: FEW},
    expression_mm={0: 0.5, 20: 9.0, 7: 4.0, 3: 2.0},
)
ONE = replace(FACTS, cameras={0: ALL})


def rows_of(name: str, facts: CaptureFacts = FACTS) -> list[str]:
    rows = list(suite_of(name).rows(facts))
    check_rows(rows)
    return rows


def measured(name: str, rows: list[str], out: Path = Path("/out"), facts: CaptureFacts = FACTS) -> Measured:
    """Results of the rows, 1 dB apart, each with two seeds."""
    done: list[tuple[Job, Result]] = []
    for index, row in enumerate(rows):
        for seed in (1, 2):
            job = Job(out, facts.folder, row, seed, Settings("small"), row)
            done.append((job, result(row, 20.0 + index + 0.1 * seed, seed)))
    return Measured(facts, rows_of(name, facts), done)


def test_the_registry_has_every_experiment() -> None:
    names = [suite.name for suite in suites()]
    assert names == [
        "cross",
        "dynamic",
        "fig11",
        "fig15",
        "insta",
        "monocular",
        "oneshot",
        "sparse",
        "table1",
        "table3",
        "table4",
    ]
    assert all(f"{name} = " in describe_suites() for name in names)
    with pytest.raises(SageError, match="suite 'table2': choose one of cross, dynamic, fig11"):
        suite_of("table2")


def test_numbers_of_moments() -> None:
    assert rows_of("fig15") == [
        *("surfels-single", "sage", "surfels-2-moments", "sage-2-moments"),
        *("surfels-multi", SAGE_MULTI),
    ]
    many = replace(FACTS, cameras={timestep: ALL for timestep in range(21)})
    surfels = [name for name in rows_of("fig15", many) if name.startswith("surfels")]
    numbers = [f"surfels-{number}-moments" for number in (2, 4, 8, 16)]
    assert surfels == ["surfels-single", *numbers, "surfels-multi"]
    with pytest.raises(SageError, match=r"/captures/head: the suite fig15 compares .* the capture has 1"):
        rows_of("fig15", ONE)


def test_numbers_of_cameras() -> None:
    sage = [name for name in rows_of("sparse") if name.startswith("sage")]
    assert sage == ["sage-1-cameras", "sage-2-cameras", "sage-3-cameras", "sage-5-cameras", "sage"]
    with pytest.raises(SageError, match="1 camera films the canonical timestep 0"):
        rows_of("sparse", replace(FACTS, cameras={0: frozenset({8}), 1: ALL}))


def test_canonical_moments_have_the_same_cameras() -> None:
    same = "-cameras-1-3-5"
    assert rows_of("table4") == [
        f"sage{same}",
        *(f"sage-canonical-{timestep}" for timestep in (20, 7, 3)),
    ]
    # With too few cameras in common, moments with all cameras of the canonical one are compared, without restriction.
    other = replace(FACTS, cameras={0: ALL, 5: frozenset({1}), 9: ALL | {77}})
    assert rows_of("table4", other) == ["sage", "sage-canonical-9-cameras-0-1-2-3-4-5"]
    many = replace(FACTS, cameras={timestep: ALL for timestep in range(21)})
    assert rows_of("table4", many) == ["sage", *(f"sage-canonical-{timestep}" for timestep in range(1, 6))]
    with pytest.raises(SageError, match="table4 compares canonical moments, and only timestep 0"):
        rows_of("table4", ONE)


def test_tables_of_methods_and_ablations() -> None:
    assert set(rows_of("table1")) >= {"surfels-single", "surfels-multi", "sage", SAGE_MULTI}
    assert all(find_row(name).frames == "single" for name in rows_of("table1", ONE))
    ablations = rows_of("table3")
    assert ablations[0] == "sage" and set(ablations[1:]) == {name for name in ROWS if name.startswith("sage-no-")}
    assert rows_of("fig11") == ["sage", "sage-no-correction"]


@pytest.mark.parametrize("name", ["table1", "table3", "fig15", "sparse", "table4"])
@pytest.mark.parametrize("how_many", ["all", "one", "none"])
def test_every_suite_has_a_table_and_a_plot(name: str, how_many: str, tmp_path: Path) -> None:
    rows = rows_of(name)[: {"all": None, "one": 1, "none": 0}[how_many]]
    found = measured(name, rows)
    sheet = suite_of(name).sheet(found)
    assert all(len(line) == len(sheet.headings) for line in sheet.rows) and sheet.title.startswith("head: ")
    save_plot(suite_of(name).plot(found), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    if rows:
        assert "over 2 seeds" in sheet.title


def test_figures_stand_at_their_number() -> None:
    rows = rows_of("fig15")
    sheet = suite_of("fig15").sheet(measured("fig15", [rows[0], rows[3]]))
    assert sheet.headings[:3] == ["training moments", "surfels, all cameras", "its face"]
    assert [line[0] for line in sheet.rows] == ["1", "2", "4"]
    # 20.15 dB frontal in the mean of both seeds; the other camera has 2 dB less.
    assert sheet.rows[0][1].startswith("19.15 ± 0.07 / 0.19") and sheet.rows[0][3].startswith("20.15")
    assert sheet.rows[0][5:] == ["-"] * 4 and sheet.rows[1][1:5] == ["-"] * 4
    assert sheet.rows[1][5].startswith("20.15")


def test_strength_of_the_canonical_expression() -> None:
    sheet = suite_of("table4").sheet(measured("table4", rows_of("table4")))
    assert [line[:2] for line in sheet.rows] == [["0", "0.5 mm"], ["20", "9.0 mm"], ["7", "4.0 mm"], ["3", "2.0 mm"]]
    assert "3 cameras each" in sheet.title


def test_curves_of_the_distortion(tmp_path: Path) -> None:
    found = measured("fig11", rows_of("fig11"), tmp_path)
    for job, _ in found.done:
        value = 2.0 if job.row == "sage" else 4.0
        values = [value] * 10 + [value / 2] * 10
        if (job.row, job.seed) != ("sage-no-correction", 2):  # trained before curves were recorded
            job.training_folder.mkdir(parents=True)
            content = {"steps": list(range(100, 140, 2)), "values": values}
            (job.training_folder / CURVE_FILE).write_text(json.dumps(content))
    suite = suite_of("fig11")
    assert suite.sheet(found).rows == [
        ["sage", "with correction", "2", "1"],
        ["sage-no-correction", "without correction", "4", "2"],
    ]
    lines: Any = suite.plot(found).axes[0].lines
    assert [len(line.get_xdata()) for line in lines if len(line.get_xdata()) > 1] == [20] * 3
    nothing = suite.sheet(measured("fig11", rows_of("fig11"), tmp_path / "nowhere"))
    assert [line[2:] for line in nothing.rows] == [["-", "-"]] * 2


def test_one_picture_is_compared_with_and_without_each_part() -> None:
    names = rows_of("oneshot", replace(FACTS, cameras={0: frozenset({8})}))
    assert names[:2] == ["surfels-single", "sage-oneshot"] and "sage-oneshot-no-residual" in names
    with pytest.raises(SageError, match="single training picture; the capture has 6"):
        rows_of("oneshot", ONE)


def test_facts_of_a_capture(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "head", num_timesteps=6)
    (planned,) = plan_suites([folder], [suite_of("fig15")], Settings("small"))
    facts = planned.facts
    assert (facts.name, facts.canonical) == ("head", 0)
    # Five training moments whose expression grows evenly: the neutral one, the strongest one, the middle ...
    assert list(facts.cameras)[:3] == [0, 4, 2] and set(facts.cameras.values()) == {frozenset({0, 1})}
    strengths = [facts.expression_mm[timestep] for timestep in range(5)]
    assert strengths == sorted(strengths) and strengths[0] == pytest.approx(0, abs=1e-3)
    assert planned.rows == tuple(suite_of("fig15").rows(facts))


def test_a_measurement_is_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def measure() -> dict[str, int]:
        made.append(1)
        return {"number": len(made)}

    path = tmp_path / "row" / "found.json"
    assert [measured_once(path, key, measure)["number"] for key in ("a", "a", "b", "b")] == [1, 1, 2, 2]


def test_a_capture_without_truth(tmp_path: Path) -> None:
    folder = write_tiny_capture(tmp_path / "head")
    for name, message in (("cross", "--num-cross-timesteps 12"), ("dynamic", "--true-surfaces all")):
        with pytest.raises(SageError, match=message):
            plan_suites([folder], [suite_of(name)], Settings("small"))


CROSS = [
    {"transfer": transfer, "timestep": t, "camera": 8, "figures": {"psnr": psnr + t, "ssim": 0.9, "psnr_face": psnr}}
    for transfer, psnr in (("absolute", 20.0), ("relative", 30.0))
    for t in (1, 2)
]
DYNAMIC = {
    str(moment): {
        name: {"truth_to_mesh_mean": error, "mesh_to_truth_mean": 2 * error}
        for name in ("tracked mesh", "surfels, depth fused")
    }
    for moment, error in ((5, 1.0), (9, 3.0))
}


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("cross", CROSS, ["sage", "21.50 / 0.900", "20.00 / -", "31.50 / 0.900", "30.00 / -"]),
        ("dynamic", DYNAMIC, ["sage", "tracked mesh", "2.00", "3.00", "4.00"]),
    ],
)
def test_own_measurements_of_suites(name: str, content: Any, line: list[str], tmp_path: Path) -> None:
    done = [(Job(tmp_path, FACTS.folder, "sage", 1, Settings("small"), "sage"), result("sage", 30.0))]
    job = done[0][0]
    job.folder.mkdir(parents=True)
    (job.folder / f"{name}.json").write_text(json.dumps({"key": "k", "measured": content}))
    found = Measured(FACTS, ["sage"], done)
    assert suite_of(name).sheet(found).rows[0] == line
    axes: Any = suite_of(name).plot(found).axes[0]
    assert [list(each.get_xdata()) for each in axes.lines if len(each.get_xdata()) == 2]
