"""Run a training from a script, with one progress bar instead of nerfstudio's table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackLocation
from nerfstudio.scripts.train import _set_random_seed
from nerfstudio.utils import profiler
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sage_ns.plugin.trainer import SageTrainer, SageTrainerConfig


def train(config: SageTrainerConfig) -> Path:
    """Train like ns-train, in this process, and return the run's ``config.yml``.

    Raises:
        SageError: the capture or a setting cannot be used.
    """
    config.logging.local_writer.enable = False
    config.logging.profiler = "none"
    config.set_timestamp()
    _set_random_seed(config.machine.seed)
    trainer: SageTrainer = config.setup(local_rank=0, world_size=1)
    trainer.setup()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=CONSOLE) as progress:
        task = progress.add_task("Training", total=config.max_num_iterations, figures="")

        def advance(step: int) -> None:
            if step % 20 == 0 or step + 1 == config.max_num_iterations:
                schedule = cast(Any, trainer.pipeline).schedule
                figures = f"PSNR {float(schedule.psnr):.1f} dB"
                progress.update(task, description=schedule.current.title, completed=step + 1, figures=figures)

        trainer.callbacks.append(TrainingCallback([TrainingCallbackLocation.AFTER_TRAIN_ITERATION], advance))
        trainer.train()
    profiler.flush_profiler(config.logging)
    return config.get_base_dir() / "config.yml"
