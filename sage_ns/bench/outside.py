"""Rows from outside: pictures that another method drew for a capture's held-out cameras, scored like our own rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sage_ns.bench.evaluation import frontal_camera
from sage_ns.bench.fingerprint import fingerprint
from sage_ns.bench.job import Job, Settings, settled
from sage_ns.bench.plan import Planner
from sage_ns.bench.provenance import provenance
from sage_ns.bench.result import FIGURES_VERSION, RESULT_FILE, ImageFigures, Result
from sage_ns.bench.rows import ROWS, SINGLE
from sage_ns.bench.yardstick import Yardstick
from sage_ns.capture.decode import read_header
from sage_ns.capture.images import load_image
from sage_ns.capture.record import CaptureRecord
from sage_ns.errors import SageError
from sage_ns.plugin.datamanager import CaptureDatamanager
from sage_ns.system.console import console, escape
from sage_ns.system.progress import tracked

OUTSIDE_FOLDER = "outside"
"""Folder of the results of outside rows, in the folder of their capture."""

SUFFIXES = (".png", ".jpg", ".jpeg")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NUM_NAMED = 5

Split = Literal["val", "test"]


@dataclass(frozen=True)
class OutsideRow:
    """The pictures of another method, as ``--row NAME=FOLDER`` gives them."""

    name: str
    folder: Path
    """absolute; with several captures it has a folder for each, with the capture's name"""


@dataclass(frozen=True)
class OutsideJob:
    """One outside row of one capture, checked."""

    name: str
    capture: Path
    pictures: Mapping[tuple[int, int], Path]
    """files by timestep and camera: the whole test split, and the whole val split or nothing of it"""
    folder: Path
    """folder of the pictures"""
    out: Path
    """folder of the result"""
    key: str
    """fingerprint of the capture and the pictures, with a hyphen between them"""


def outside_rows(texts: Sequence[str]) -> tuple[OutsideRow, ...]:
    """Return the rows that ``--row`` names.

    Raises:
        SageError: a text is not NAME=FOLDER, a name cannot be used, or a folder does not exist.
    """
    rows: dict[str, OutsideRow] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise SageError(f"--row {text}: give NAME=FOLDER. --rows chooses among our own rows.")
        if not _NAME.fullmatch(name):
            raise SageError(f"--row {text}: the name is '{name}'. Use letters, digits, '.', '_' and '-'.")
        if name in ROWS or name in rows:
            owner = "a row of sage-bench" if name in ROWS else "another --row"
            raise SageError(f"--row {text}: '{name}' is {owner}. Give another name.")
        path = Path(folder).expanduser().absolute()
        if not path.is_dir():
            raise SageError(f"--row {text}: {path} is not a folder.")
        rows[name] = OutsideRow(name, path)
    return tuple(rows.values())


def plan_outside(planner: Planner, captures: Sequence[Path], rows: Sequence[OutsideRow]) -> list[OutsideJob]:
    """Check the pictures of all rows and captures, and return the jobs; nothing is written.

    Raises:
        SageError: pictures are missing, unknown or of another size; or the capture cannot be used.
    """
    return [
        _planned(planner, capture, row, row.folder if len(captures) == 1 else row.folder / capture.name)
        for capture in captures
        for row in rows
    ]


def _planned(planner: Planner, capture: Path, row: OutsideRow, folder: Path) -> OutsideJob:
    if not folder.is_dir():
        raise SageError(f"--row {row.name}: {folder} is not a folder. With several captures, name a folder for each.")
    sizes = _held_out(_config(planner, capture))
    if not sizes["test"]:
        raise SageError(f"{capture} has no test split: pictures of another method cannot be scored.")
    pictures = _pictures_in(folder, sizes)
    contents = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures.values()}
    return OutsideJob(
        name=row.name,
        capture=capture,
        pictures=pictures,
        folder=folder,
        out=planner.out / capture.name / OUTSIDE_FOLDER / row.name,
        key=f"{_context(planner, capture)}-{fingerprint(contents)}",
    )


def _context(planner: Planner, capture: Path) -> str:
    """Return the fingerprint of all that figures depend on besides the pictures that are scored."""
    settings = planner.settings.downscale_factor, FIGURES_VERSION
    return fingerprint(planner.capture_key(_job(planner.out, capture, planner.settings)), *settings)


def _job(out: Path, capture: Path, settings: Settings) -> Job:
    """Return a job whose config reads the capture: held-out pictures of the canonical moment, and of the test split."""
    return Job(out, capture, SINGLE, 0, settings, trained_as=SINGLE)


def _config(planner: Planner, capture: Path) -> Any:
    return settled(_job(planner.out, capture, planner.settings).training_config()).pipeline.datamanager


def _held_out(config: Any) -> dict[Split, dict[tuple[int, int], tuple[int, int]]]:
    """Return width and height of all held-out pictures by split, and by timestep and camera."""
    dataparser = config.dataparser.setup()
    found: dict[Split, dict[tuple[int, int], tuple[int, int]]] = {"test": {}, "val": {}}
    for split, sizes in found.items():
        outputs = dataparser.get_dataparser_outputs(split=split)
        if CaptureRecord.of(outputs.metadata).split_source != split:
            continue
        cameras = outputs.cameras
        names = (cameras.metadata[name][:, 0].tolist() for name in ("timestep", "camera_index"))
        widths, heights = (each[:, 0].tolist() for each in (cameras.width, cameras.height))
        sizes.update(zip(zip(*names, strict=True), zip(widths, heights, strict=True), strict=True))
    return found


def _pictures_in(
    folder: Path, sizes: Mapping[Split, Mapping[tuple[int, int], tuple[int, int]]]
) -> dict[tuple[int, int], Path]:
    """Return the files of the held-out pictures.

    Raises:
        SageError: names the files that are missing, unknown, there twice or of a wrong size.
    """
    expected = {**sizes["val"], **sizes["test"]}
    stems = {file_stem(*moment): moment for moment in expected}
    found: dict[tuple[int, int], Path] = {}
    unknown: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            continue
        moment = stems.get(path.stem)
        if moment is None:
            unknown.append(path.name)
            continue
        if moment in found:
            raise SageError(f"{folder}: {found[moment].name} and {path.name} are the same picture. Remove one of them.")
        found[moment] = path
    wanted = list(sizes["test"]) + (list(sizes["val"]) if any(moment in found for moment in sizes["val"]) else [])
    missing = [file_stem(*moment) + ".png" for moment in wanted if moment not in found]
    if missing:
        raise SageError(
            f"{folder}: {_some(missing)} missing (of {len(wanted)} pictures, named timestep_camera.png or .jpg). "
            "Draw all pictures of the test split; those of the val split all or none."
        )
    if unknown:
        raise SageError(
            f"{folder}: {_some(unknown)} not in the test or val split of the capture. Remove what is not to be scored."
        )
    for moment, path in found.items():
        size = read_header(path).size
        if size != expected[moment]:
            raise SageError(
                f"{path} has {size[0]} x {size[1]} px, the true picture {expected[moment][0]} x {expected[moment][1]} "
                "px. Draw the pictures at that size (see --downscale-factor); resized pictures are not scored."
            )
    return found


def file_stem(timestep: int, camera: int) -> str:
    """Return the name of a picture without its ending."""
    return f"{timestep:05d}_{camera:02d}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more + (" are" if len(names) > 1 else " is")


def score_outside(planner: Planner, captures: Sequence[Path], jobs: Sequence[OutsideJob]) -> list[Result]:
    """Score the pictures of all jobs, and return all outside results, those of earlier runs included.

    Results that exist and were made from the same pictures are not made again.

    Raises:
        SageError: a picture cannot be read.
    """
    results = []
    for capture in captures:
        unfinished = []
        for job in (each for each in jobs if each.capture == capture):
            known = Result.load(job.out)
            if known is None or known.key != job.key:
                unfinished.append(job)
        if unfinished:
            _score(planner, capture, unfinished)
        results += _valid_results(planner, capture)
    return results


def _valid_results(planner: Planner, capture: Path) -> list[Result]:
    """Return the outside results in the folder that belong to the capture as it is; their pictures may be gone."""
    files = sorted((planner.out / capture.name / OUTSIDE_FOLDER).glob(f"*/{RESULT_FILE}"))
    results = [result for file in files if (result := Result.load(file.parent)) is not None]
    if not results:
        return []
    context = _context(planner, capture)
    return [each for each in results if each.key.partition("-")[0] == context and each.row not in ROWS]


def _score(planner: Planner, capture: Path, jobs: Sequence[OutsideJob]) -> None:
    config = _config(planner, capture)
    manager: CaptureDatamanager = config.setup(device="cpu", test_mode="test")
    record = manager.train_dataset.record
    yardstick = Yardstick(record)
    test: list[tuple[Split, Any]] = [("test", pair) for pair in manager.evaluation_pairs("test")]
    val: list[tuple[Split, Any]] = [("val", pair) for pair in manager.evaluation_pairs("val")]
    frontal = frontal_camera((pair for _, pair in test), yardstick)
    measured: dict[tuple[str, Split], list[ImageFigures]] = {}
    with tracked(val + test, f"Scoring pictures of {len(jobs)} outside rows") as shown:
        for split, (camera, batch) in shown:
            true = yardstick.true_picture(camera, batch)
            for job in jobs:
                path = job.pictures.get((true.timestep, true.camera))
                if path is not None:
                    picture = load_image(path, None, 1, record.background)[0].float() / 255
                    figures = ImageFigures(
                        true.timestep, true.camera, yardstick.figures(picture, true), true.yaw, true.moment.strength
                    )
                    measured.setdefault((job.name, split), []).append(figures)
    for job in jobs:
        result = Result(
            key=job.key,
            row=job.name,
            capture=capture.name,
            seed=0,
            canonical_timestep=record.canonical_timestep,
            frontal_camera=frontal,
            num_surfels=0,
            num_steps=0,
            seconds={},
            peak_bytes=0,
            novel_view=tuple(measured.get((job.name, "val"), ())),
            reenactment=tuple(measured.get((job.name, "test"), ())),
            made_by=provenance(),
            pictures_from=str(job.folder),
        )
        result.save(job.out)
        console().print(f"row {escape(job.name)}, {escape(capture.name)}: {len(job.pictures)} pictures scored")
