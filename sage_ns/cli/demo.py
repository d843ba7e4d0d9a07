"""``sage-demo``: make a moving avatar in minutes, without a GPU, data or downloads."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console

from sage_ns.cli.demo_photo import ASTRONAUT
from sage_ns.cli.explained import explained
from sage_ns.errors import OptionError
from sage_ns.synthetic import Regime
from sage_ns.system.console import escape
from sage_ns.system.files import write_json

if TYPE_CHECKING:
    from sage_ns.plugin.pipeline import SagePipeline

DEMO_SCALE = 0.6
"""Scale of the synthetic capture's 275x401 pixels: two CPU cores train on the result in minutes."""


@dataclass(frozen=True)
class DemoRegime:
    """What the demo of a regime trains, on what and for how long."""

    method: str
    """Method of ns-train."""
    capture: Mapping[str, Any]
    """Settings of the synthetic capture."""
    folder: str
    """Folder of the synthetic capture in OUT: demos of several regimes can share OUT."""
    steps: int | None
    """Steps of both phases together without CUDA; the preset's 2,800 gain little and take much longer. None = those of
    the method."""


REGIMES: Mapping[Regime, DemoRegime] = {
    "multiview": DemoRegime("sage-multiview", {"num_train_timesteps": 1}, "capture", 2000),
    "monocular": DemoRegime(
        "sage-monocular", {"num_turning_timesteps": 30, "num_test_timesteps": 8}, "capture_monocular", 2000
    ),
    "oneshot": DemoRegime("sage-oneshot", {"num_test_timesteps": 8}, "capture_oneshot", None),
}


@dataclass
class Demo:
    """Train an avatar on the built-in synthetic capture, a photo or your capture, evaluate it and render a video.

    Writes to OUT: the capture, the training run, metrics.json, contact_sheet.png and reenactment.mp4. With --photo,
    there is no truth to compare with, and no metrics.json.
    """

    out: Annotated[Path, tyro.conf.Positional] = Path("sage_demo")
    """folder to write"""
    regime: Regime = "multiview"
    """multiview: many cameras see one moment; monocular: one camera sees a head that turns; oneshot: one picture"""
    data: Path | None = None
    """folder of your own capture (VHAP export); default: the built-in synthetic capture"""
    photo: Annotated[str | None, tyro.conf.arg(metavar="[FILE]")] = None
    """make an avatar from one photo; without a file, from the portrait of an astronaut that scikit-image brings"""
    head_model: Path | None = None
    """head model file of your own capture or for your photo; default: the one found beside the capture, or the built-in
    head for a photo"""
    downscale_factor: int = 1
    """divide width and height of the pictures by this whole number"""
    hair: Literal["short", "long"] = "short"
    """hair of the synthetic person"""
    seed: int = 0
    """number of the synthetic person: each gives another person"""
    steps: int | None = None
    """training steps of both phases together; default: 2,000 with the preset small (oneshot: 420), else those of the
    preset"""
    preset: Literal["auto", "paper", "small"] = "auto"
    """size of avatar and training: auto = paper with CUDA, small without"""

    def run(self) -> None:
        """Synthesise the capture, train, evaluate, render, and print where the results are."""
        from nerfstudio.utils.rich_utils import CONSOLE

        from sage_ns.plugin.showcase import write_reenactment, write_sheet

        start = time.perf_counter()
        self.out = self.out.absolute()
        capture = self._capture(CONSOLE)
        trained_from = time.perf_counter()
        config_path = self._train(capture)
        trained = time.perf_counter()
        pipeline = _load(config_path)
        metrics = {}
        if self.photo is None:
            metrics = pipeline.get_average_eval_image_metrics()
            write_json(self.out / "metrics.json", metrics)
        driver = capture / "driver" / "sequence.npz"
        write_sheet(pipeline, self.out / "contact_sheet.png", self.regime, driver)
        write_reenactment(pipeline, driver, self.out / "reenactment.mp4")
        _summarise(CONSOLE, self.out, config_path, metrics, trained_from - start, trained - trained_from, start)

    def _capture(self, console: Console) -> Path:
        """Return the capture to train on, made here unless it is the user's."""
        if self.photo is not None:
            if self.data is not None:
                raise OptionError("give a capture or a photo, not both", data=self.data, photo=self.photo)
            from sage_ns.cli.demo_photo import track_demo_photo

            self.regime = "oneshot"
            return track_demo_photo(self.photo, self.out, self.head_model, console)
        return self.data.absolute() if self.data is not None else self._synthesise()

    def _synthesise(self) -> Path:
        from sage_ns.synthetic import SyntheticCapture, synthesize_capture

        capture = self.out / REGIMES[self.regime].folder
        if not (capture / "transforms.json").is_file():
            settings = SyntheticCapture(regime=self.regime, seed=self.seed, hair=self.hair, scale=DEMO_SCALE)
            synthesize_capture(capture, replace(settings, **REGIMES[self.regime].capture))
        return capture

    def _train(self, capture: Path) -> Path:
        import torch

        from sage_ns.plugin.methods import configured
        from sage_ns.plugin.scripted_training import train

        small = self.preset == "small" or (self.preset == "auto" and not torch.cuda.is_available())
        config = configured(
            REGIMES[self.regime].method,
            data=capture,
            head_model=self.head_model if self.photo is None else None,  # a tracked photo has its own
            preset=self.preset,
            overrides={
                "output_dir": self.out / "runs",
                "experiment_name": "demo",
                "max_num_iterations": REGIMES[self.regime].steps if self.steps is None and small else self.steps,
                "pipeline.datamanager.dataparser.downscale_factor": self.downscale_factor,
                "vis": "tensorboard",
            },
        )
        return train(config)


def _load(config_path: Path) -> SagePipeline:
    from sage_ns.plugin.run_setup import load_run

    return load_run(config_path, "test").pipeline


def _summarise(
    console: Console,
    out: Path,
    config_path: Path,
    metrics: dict[str, float],
    synthesis_seconds: float,
    training_seconds: float,
    start: float,
) -> None:
    from rich.table import Table

    table = Table(title="sage-demo")
    for name in ("", "PSNR [dB]", "SSIM", "PSNR, face [dB]", "SSIM, face"):
        table.add_column(name)
    for title, prefix in (("novel view", "novel_view_"), ("unseen expressions", "")):
        keys = ("psnr", "ssim", "psnr_face", "ssim_face")
        values = [metrics.get(prefix + key) for key in keys]
        table.add_row(title, *("-" if value is None else f"{value:.3f}" for value in values))
    if metrics:
        console.print(table)
    total = time.perf_counter() - start
    console.print(
        f"capture {synthesis_seconds:.0f} s, training {training_seconds:.0f} s, {total:.0f} s in all\n"
        f"pictures  {escape(str(out / 'contact_sheet.png'))}\n"
        f"video     {escape(str(out / 'reenactment.mp4'))}\n"
        f"view it in the browser: [bold]sage-view {escape(str(config_path))}[/bold]",
        soft_wrap=True,
    )


def with_default_photo(arguments: Sequence[str]) -> list[str]:
    """Return command line arguments in which a --photo without a file names the default one."""
    given = list(arguments)
    if "--photo" in given:
        at = given.index("--photo") + 1
        if at == len(given) or given[at].startswith("--"):
            given.insert(at, ASTRONAUT)
    return given


def main() -> None:
    """Entry point of ``sage-demo``."""
    demo = tyro.cli(Demo, args=with_default_photo(sys.argv[1:]))
    # nerfstudio logs losses that still carry gradients; users cannot change that.
    warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad")
    with explained(Console()):
        demo.run()
