"""Which trainings and evaluations a benchmark consists of, all checked before the first one starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sage_ns import __version__
from sage_ns.bench.fingerprint import capture_fingerprint, fingerprint
from sage_ns.bench.job import Job, Settings, settled
from sage_ns.bench.rows import ROWS, check_rows
from sage_ns.errors import SageError
from sage_ns.plugin.trainer import SageTrainerConfig


class Planner:
    """Finds the jobs of benchmarks; reads every capture once for each choice of moments.

    A training that several rows share lies with the first of them in :data:`ROWS`, asked for or not.

    Args:
        out: absolute folder of the benchmark.
        settings: what all rows have in common.
    """

    def __init__(self, out: Path, settings: Settings) -> None:
        self.out, self.settings = out, settings
        self._read: dict[tuple[Path, str], str] = {}

    def plan(self, captures: Sequence[Path], rows: Sequence[str], seeds: Sequence[int]) -> list[Job]:
        """All jobs, in the order to do them: captures, then seeds, then rows.

        Args:
            captures: absolute folders.
            rows: names, see :data:`ROWS`; none = all, but for those that equal another one by this preset.
            seeds: each for one training of every row.

        Raises:
            SageError: a capture, a setting or a row cannot be used.
        """
        check_rows(rows)
        jobs: list[Job] = []
        for capture in captures:
            for seed in seeds:
                alone = [Job(self.out, capture, name, seed, self.settings, trained_as=name) for name in rows or ROWS]
                found = [self._sharing(self._keyed(job)) for job in alone]
                # Of equal ones the first stays.
                jobs += found if rows else reversed({job.key: job for job in reversed(found)}.values())
        return jobs

    def _keyed(self, job: Job) -> Job:
        training = settled(job.training_config())
        drawing = job.drawing_config()
        moments = job.capture, ROWS[job.row].frames
        if moments not in self._read:
            datamanager: Any = training.pipeline.datamanager
            self._read[moments] = capture_fingerprint(datamanager.dataparser.setup())
        training_key = fingerprint(__version__, _that_matter(training), self._read[moments])
        return replace(job, training_key=training_key, key=fingerprint(training_key, _that_matter(drawing)))

    def _sharing(self, job: Job) -> Job:
        """The job, trained where the first row lies that has the same training."""
        for name, row in ROWS.items():
            if name == job.row:
                break
            if (row.method, row.frames) != (ROWS[job.row].method, ROWS[job.row].frames):
                continue
            try:
                other = self._keyed(replace(job, row=name, trained_as=name))
            except SageError:  # nobody asked for that row
                continue
            if other.training_key == job.training_key:
                return replace(job, trained_as=name)
        return job


def _that_matter(config: SageTrainerConfig) -> dict[str, Any]:
    """Of a settled config, what figures depend on: everything but where things lie and what is logged."""
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
        "device": config.machine.device_type,
    }
