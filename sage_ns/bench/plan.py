"""Plan of a benchmark: all trainings and evaluations, checked before the first one starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sage_ns import __version__
from sage_ns.bench.fingerprint import capture_fingerprint, fingerprint
from sage_ns.bench.job import Job, Settings, settled
from sage_ns.bench.result import FIGURES_VERSION
from sage_ns.bench.rows import ROWS, check_rows, rows_before
from sage_ns.errors import SageError
from sage_ns.jobs.workplace import Device
from sage_ns.plugin.trainer import SageTrainerConfig
from sage_ns.system.console import console, escape
from sage_ns.system.user_files import sha256_of


class Planner:
    """Makes the jobs of benchmarks; reads every capture once for each choice of pictures, and skips rows that need a
    file which a capture has not.

    A training that several rows share is stored with the first of them in :data:`ROWS`, even if that row is not
    requested.

    Args:
        out: absolute folder of the benchmark.
        settings: settings of all rows.
    """

    def __init__(self, out: Path, settings: Settings) -> None:
        self.out, self.settings = out, settings
        self._read: dict[tuple[Path, str], str] = {}
        self._skipped: set[str] = set()

    def plan(self, captures: Sequence[Path], rows: Sequence[str], seeds: Sequence[int]) -> list[Job]:
        """Return all jobs in the order of their execution: by capture, then by seed, then by row.

        Args:
            captures: absolute folders.
            rows: names, see :data:`ROWS`; empty = all, except rows that equal another one with this preset.
            seeds: seeds; every row is trained once with each.

        Raises:
            SageError: a capture, a setting or a row cannot be used, or all rows are skipped.
        """
        check_rows(rows)
        jobs: list[Job] = []
        for capture in captures:
            for seed in seeds:
                alone = [Job(self.out, capture, name, seed, self.settings, trained_as=name) for name in rows or ROWS]
                alone = [job for job in alone if self._has_its_files(job)]
                found = [self._sharing(self._keyed(job)) for job in alone]
                # Of equal jobs the first one stays.
                jobs += found if rows else reversed({job.key: job for job in reversed(found)}.values())
        if not jobs and captures and seeds:
            raise SageError(f"No row can run: no capture has the files that {', '.join(rows)} need.")
        return jobs

    def _has_its_files(self, job: Job) -> bool:
        """Return whether the capture has the files that the row needs; if not, print why the row is skipped, once."""
        try:
            job.files_beside()
        except SageError as error:
            if str(error) not in self._skipped:
                console().print(f"[yellow]Skipped: {escape(str(error))}[/yellow]", soft_wrap=True)
            self._skipped.add(str(error))
            return False
        return True

    def capture_key(self, job: Job) -> str:
        """Return the fingerprint of the job's capture with the moments of its row.

        Raises:
            SageError: the capture cannot be used.
        """
        datamanager: Any = settled(job.training_config()).pipeline.datamanager
        pictures = job.capture, fingerprint(replace(datamanager.dataparser, data=Path(), head_model=None))
        if pictures not in self._read:
            self._read[pictures] = capture_fingerprint(datamanager.dataparser.setup())
        return self._read[pictures]

    def _keyed(self, job: Job) -> Job:
        training = settled(job.training_config())
        drawing = job.drawing_config()
        device = self.settings.device
        capture_key = self.capture_key(job)
        files = job.files_beside()
        if files:
            content = {name: sha256_of(path, SageError) for name, path in files.items()}
            capture_key = fingerprint(capture_key, content)
        training_key = key_of_training(training, capture_key, device)
        return replace(
            job,
            training_key=training_key,
            key=fingerprint(training_key, _relevant_settings(drawing, device), FIGURES_VERSION),
        )

    def _sharing(self, job: Job) -> Job:
        """Return the job with the training of the first row that has the same training."""
        for name in rows_before(job.row):
            row = ROWS[name]
            if (row.method, row.frames) != (ROWS[job.row].method, ROWS[job.row].frames):
                continue
            try:
                other = self._keyed(replace(job, row=name, trained_as=name))
            except SageError:  # an error of a row that was not requested does not matter
                continue
            if other.training_key == job.training_key:
                return replace(job, trained_as=name)
        return job


def key_of_training(config: SageTrainerConfig, capture_key: str, device: Device | None) -> str:
    """Return the fingerprint of all inputs of a training.

    Args:
        config: settled config.
        capture_key: fingerprint of the capture.
        device: device that trains; None = the config's.
    """
    return fingerprint(__version__, _relevant_settings(config, device), capture_key)


def _relevant_settings(config: SageTrainerConfig, device: Device | None) -> dict[str, Any]:
    """Return the settings of a settled config that figures depend on: all except paths and logging."""
    pipeline: Any = config.pipeline
    datamanager = replace(
        pipeline.datamanager,
        data=None,
        run_dir=None,
        dataparser=replace(pipeline.datamanager.dataparser, data=Path(), head_model=None),
    )
    return {
        "method": config.method_name,
        "pipeline": replace(pipeline, datamanager=datamanager),
        "optimizers": config.optimizers,
        "steps": config.max_num_iterations,
        "seed": config.machine.seed,
        "device": device or config.machine.device_type,
    }
