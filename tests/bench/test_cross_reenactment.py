from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sage_ns.bench.cross_reenactment import transferred, truth_folder, truth_key
from sage_ns.bench.geometry import FUSED
from sage_ns.bench.job import Settings
from sage_ns.bench.people_truth import People, write_people_truth
from sage_ns.bench.plan import Planner
from sage_ns.bench.rows import ROWS, Row
from sage_ns.bench.run import run_job
from sage_ns.bench.suite_run import plan_suites
from sage_ns.bench.suites import suite_of
from sage_ns.capture.flame_table import Tracking
from sage_ns.errors import SageError
from sage_ns.rig import FlameParams
from sage_ns.synthetic import SyntheticCapture, synthesize_capture
from sage_ns.system.files import read_json
from tests.tiny import tiny_head_model
from tests.tiny_capture import tiny_motion, write_tiny_capture


def driver() -> Tracking:
    return Tracking(tiny_motion(tiny_head_model(), 4), torch.arange(4), 0)


def test_a_driver_who_is_the_avatar_moves_it_as_itself() -> None:
    motion = driver().params.motion_vector()
    for transfer in ("absolute", "relative"):
        torch.testing.assert_close(transferred(driver(), motion[0], transfer), motion, atol=1e-6, rtol=0)


def test_transfers_differ_where_the_neutral_moments_do() -> None:
    own = replace(driver().params[0], expr=torch.full((1, 10), 0.5)).motion_vector()[0]
    absolute, relative = (transferred(driver(), own, name) for name in ("absolute", "relative"))
    expr = driver().params.expr
    torch.testing.assert_close(FlameParams.from_motion_vector(absolute).expr, expr)
    torch.testing.assert_close(FlameParams.from_motion_vector(relative).expr, expr - expr[:1] + 0.5)
    torch.testing.assert_close(FlameParams.from_motion_vector(relative).rotation, driver().params.rotation)


def test_places_of_the_truth(tmp_path: Path) -> None:
    capture = tmp_path / "head"
    with pytest.raises(SageError, match=r"neither .*head/cross nor .*head_cross exists"):
        truth_folder(capture)
    beside = write_tiny_capture(tmp_path / "head_cross", num_timesteps=2)
    assert truth_folder(capture) == beside
    key = truth_key(beside)
    assert key == truth_key(beside)
    tiny_motion(tiny_head_model(), 2)[1:].save_vhap(tmp_path / "other")
    (beside / "flame_param" / "00000.npz").write_bytes((tmp_path / "other" / "00000.npz").read_bytes())
    assert truth_key(beside) != key
    (capture / "cross").mkdir(parents=True)
    assert truth_folder(capture) == capture / "cross"


def test_the_people_tool_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGE_SHARED", raising=False)
    with pytest.raises(SageError, match="The people tool is optional and was not found: set SAGE_SHARED"):
        People.load(None)
    monkeypatch.setenv("SAGE_SHARED", str(tmp_path))
    with pytest.raises(SageError, match=r"people/capture\.py does not exist"):
        People.load(None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 0.25), "moments is 0"), ((61, 0.25), "moments is 61"), ((2, 0.0), "scale is 0"), ((2, 1.5), "scale is 1.5")],
)
def test_sizes_that_the_people_tool_is_not_asked_for(
    arguments: tuple[int, float], message: str, tmp_path: Path
) -> None:
    nobody: Any = None
    with pytest.raises(SageError, match=message):
        write_people_truth(nobody, "fk01", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_suites_with_a_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person of the studio, a training of a few steps, and both measurements."""
    settings = SyntheticCapture(
        width=60, height=88, num_train_timesteps=1, num_test_timesteps=1, num_driver_timesteps=2, supersampling=1,
        tracking_error=0.0, num_cross_timesteps=1, true_surfaces="all", workers=1,
    )  # fmt: skip
    capture = synthesize_capture(tmp_path / "person", settings, lambda *_: None)
    small = {"pipeline.model.num_surfels": 4000}
    monkeypatch.setitem(ROWS, "surfels-single", Row("", "surfels", trained_with=small))  # type: ignore[arg-type]
    asked = [suite_of("cross"), suite_of("dynamic")]
    planned = plan_suites([capture], asked, Settings("small", 60))
    assert [each.rows for each in planned] == [("surfels-single", "sage")] * 2
    (job,) = Planner(tmp_path / "out", Settings("small", 60)).plan([capture], ["surfels-single"], [1])
    done = [(job, run_job(job))]
    reports = [each.write(tmp_path / "out", done, Settings("small", 60)) for each in planned]
    assert all(report.plot and report.plot.is_file() and report.table.is_file() for report in reports)
    cross = read_json(job.folder / "cross.json")["measured"]
    assert [(each["transfer"], each["timestep"], each["camera"]) for each in cross] == [
        (transfer, 1, camera) for transfer in ("absolute", "relative") for camera in (8, 12)
    ]
    own = done[0][1].figures("all")["psnr"]
    assert all(each["figures"]["psnr"] > own - 4 for each in cross)  # the driver's expressions reach the right avatar
    dynamic = read_json(job.folder / "dynamic.json")["measured"]
    assert list(dynamic) == ["1"] and set(dynamic["1"]) == {"tracked mesh", FUSED}
    assert 0.05 < dynamic["1"]["tracked mesh"]["truth_to_mesh_mean"] < 1.0
    monkeypatch.setattr("sage_ns.bench.run.trained_pipeline", lambda _: pytest.fail("measured twice"))
    assert planned[0].write(tmp_path / "out", done, Settings("small", 60)).sheet == reports[0].sheet
