"""Subjects of avatars, runs and benchmarks: files that this program writes and reads again."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sage_ns.avatar.avatar_file import load_avatar
from sage_ns.avatar.mouth import load_mouth_prior
from sage_ns.bench import table
from sage_ns.bench.clock import Clock
from sage_ns.bench.folder import BENCHMARK_FILE, BenchmarkFolder
from sage_ns.bench.geometry import Truth
from sage_ns.bench.job import Job, Settings
from sage_ns.bench.result import RESULT_FILE, Result
from sage_ns.exchange.gaussian_avatars import save_gaussian_avatar
from sage_ns.exchange.gaussian_avatars_import import find_flame_param, load_gaussian_avatar
from sage_ns.plugin.checkpoints import load_checkpoint
from sage_ns.plugin.playback_run import write_playback_run
from sage_ns.plugin.run_config import load_run_config
from sage_ns.plugin.snapshot import SnapshotDataParserConfig
from sage_ns.synthetic.head import builtin_head
from sage_ns.system.files import write_json
from tests.bench.results import result
from tests.corpus.subject import Subject
from tests.exchange.bound_avatars import small_avatar
from tests.tiny import tiny_head_model
from tests.tiny_avatar import tiny_avatar

_HEAD = tiny_head_model()
_LATER_FIELDS = {
    f"look.{name}"
    for name in (
        *("wrinkle_rule", "wrinkle_dimming", "correction_source", "correction_gamma", "distortion", "light"),
        "mark_guessed",
    )
}


def _write_avatar(folder: Path) -> Path:
    tiny_avatar(_HEAD, 30).save(folder / "avatar.npz")
    return folder / "avatar.npz"


def _write_avatar_with_mouth(folder: Path) -> Path:
    tiny_avatar(builtin_head(2), 30).save(folder / "speaker.npz")
    return folder / "speaker.npz"


def _write_prior(folder: Path) -> Path:
    load_mouth_prior().save(folder / "prior.npz")
    return folder / "prior.npz"


def _write_run(folder: Path) -> Path:
    run = folder / "runs" / "tiny" / "surfels" / "view"
    return write_playback_run(tiny_avatar(_HEAD, 30), run)


def _read_snapshot(path: Path) -> Any:
    """What viewer and rendering take from the snapshot of the capture."""
    outputs = SnapshotDataParserConfig(data=path.with_name("capture.npz")).setup().get_dataparser_outputs("train")
    cameras = outputs.cameras
    values = {name: getattr(cameras, name) for name in ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height")}
    return values, dict(cameras.metadata or {}), outputs.metadata, outputs.scene_box.aabb, outputs.image_filenames


def _write_splats(folder: Path) -> Path:
    avatar = small_avatar(_HEAD, num_surfels=40)
    save_gaussian_avatar(avatar, _HEAD, avatar.motion.motion, folder)
    return folder / "point_cloud.ply"


def _read_splats(path: Path) -> Any:
    point_cloud = path.with_name("point_cloud.ply")
    return load_gaussian_avatar(point_cloud, _HEAD, find_flame_param(point_cloud)).avatar


def _write_truth(folder: Path) -> Path:
    face = np.zeros(_HEAD.num_triangles, dtype=bool)
    face[:20] = True
    vertices = _HEAD.v_template.numpy()
    arrays = {"vertices": np.stack([vertices, vertices]), "triangles": _HEAD.triangles.numpy(), "face": face}
    np.savez(folder / "surface.npz", timesteps=np.array([3, 7]), **arrays)  # type: ignore[arg-type]
    return folder / "surface.npz"


# ---- benchmarks -----------------------------------------------------------------------------------------------------

_SETTINGS = Settings("small", 4)


def _write_benchmark(folder: Path) -> Path:
    content = {"settings": {"preset": "small", "steps": 4, "downscale_factor": 1}}
    write_json(
        folder / BENCHMARK_FILE, {**content, "captures": {"head": "/captures/head"}, "comparisons": {"head": "k"}}
    )
    return folder / BENCHMARK_FILE


def _read_benchmark(path: Path) -> Any:
    folder, capture = BenchmarkFolder(path.parent), Path("/captures/head")
    with folder.claimed([capture], _SETTINGS):
        key = folder.comparison_key(capture)
        folder.keep_comparison_key(capture, "new")
        return key


def _write_result(folder: Path) -> Path:
    result("surfels-single", 30.0).save(folder)
    return folder / RESULT_FILE


def _read_result(path: Path) -> Any:
    """The tables with this result; a result that cannot be read counts as none, and its row runs again."""
    found = Result.load(path.parent)
    if found is None:
        return None
    results = [found, result("surfels-multi", 31.0)]
    written = table.markdown(results, _SETTINGS), table.as_json(results, _SETTINGS, {})
    json.loads(json.dumps(written[1], allow_nan=False))
    return written


def _write_job(folder: Path) -> Path:
    Job(folder, folder / "head", "surfels-single", 3, _SETTINGS, "surfels-single", "a", "b").save()
    path = folder / "head" / "surfels-single" / "seed-3" / "job.json"
    return path.rename(folder / path.name)


def _read_job(path: Path) -> Any:
    job = Job.load(path.parent)
    return asdict(job), str(job.folder), job.training_config().max_num_iterations


def _write_clock(folder: Path) -> Path:
    clock = Clock(folder / "clock.json", 3, 9, {"setup": 1.0, "reconstruct": 2.0}, 2**20, {"2": {"setup": 1.0}})
    write_json(clock.path, {name: value for name, value in asdict(clock).items() if name != "path"})
    return clock.path


def _read_clock(path: Path) -> Any:
    """The clock when a benchmark shows it, and when the training goes on; one that cannot be read counts as none."""
    found = Clock.read(path.parent)
    again = Clock(path.parent / "clock.json")
    again.begin(2, 9, 0.5)
    return None if found is None else (found.step, found.num_steps, found.seconds), again.seconds


@cache
def _lenient(reason: str) -> dict[str, Any]:
    """Verdicts for files that count as absent when they cannot be read."""
    from tests.corpus.damage import byte_damages
    from tests.corpus.damage_json import json_damages

    names = [damage.name for damage in (*byte_damages(), *json_damages()) if damage.verdict in ("refuse", "right")]
    return {name: ("any", reason) for name in names}


def subjects() -> list[Subject]:
    """All subjects of this module."""
    surface = frozenset(
        {f"rig.{name}" for name in ("uv", "uv_triangles", "landmark_triangles", "landmark_barycentric")}
    )
    run_files = ("config.yml", "capture.npz", "head_model.npz")
    # Empty in this run, or names that nothing opens.
    snapshot = {"train/scene_box", "train/camera_to_worlds", "train/image_filenames", "test_timesteps", "shape"}
    unused = frozenset({"val", "test"})
    learned = "pipeline/_model.learner.avatar."
    again = "the row runs again"
    # Files of earlier versions lack some fields of the look; empty arrays cannot hold what should be refused.
    lenient = surface | _LATER_FIELDS | {"evidence", "displacement", "settled", "rig.shape_basis"}
    return [
        Subject("avatar file", "npz", _write_avatar, load_avatar, optional=lenient),
        Subject("avatar file with a mouth", "npz", _write_avatar_with_mouth, load_avatar,
                optional=lenient | {f"mouth.{name}" for name in lenient}),
        Subject("mouth prior", "npz", _write_prior, load_mouth_prior),
        Subject("run: config.yml", "yaml", _write_run, load_run_config),
        Subject("run: snapshot", "npz", lambda folder: _write_run(folder).with_name("capture.npz"), _read_snapshot,
                optional=unused | snapshot, named=run_files),
        Subject("run: head model", "npz", lambda folder: _write_run(folder).with_name("head_model.npz"),
                _read_snapshot, optional=frozenset({"uv", "uv_triangles", "shape_basis"}), named=run_files),
        Subject("run: checkpoint", "torch",
                lambda folder: _write_run(folder).parent / "nerfstudio_models" / "step-000000000.ckpt",
                lambda path: dict(load_checkpoint(path).content),
                optional=frozenset({"pipeline/_model.device_indicator_param"})
                | {learned + name for name in ("evidence", "displacement", "settled", "rig.shape_basis")}),
        Subject("GaussianAvatars: splats", "ply", _write_splats, _read_splats),
        Subject("GaussianAvatars: parameters", "npz",
                lambda folder: _write_splats(folder).with_name("flame_param.npz"), _read_splats,
                optional=frozenset({"static_offset", "dynamic_offset"}),
                verdicts={"missing": ("any", "the mean head at rest")}),
        Subject("truth of a surface", "npz", _write_truth, lambda path: Truth.load(path, 7)),
        Subject("benchmark: folder", "json", _write_benchmark, _read_benchmark, named=("given",),
                verdicts={"missing": ("any", "a new folder")}),
        Subject("benchmark: result", "json", _write_result, _read_result, verdicts=_lenient(again)),
        Subject("benchmark: job", "json", _write_job, _read_job),
        Subject("benchmark: clock", "json", _write_clock, _read_clock, verdicts=_lenient("the training starts anew")),
    ]  # fmt: skip
