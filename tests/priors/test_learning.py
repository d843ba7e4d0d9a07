"""``sage-prior``: people of captures become a prior; runs go on where they were stopped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from sage_ns.batch.people import fit_in_jobs
from sage_ns.capture.checked import CaptureOptions
from sage_ns.cli.prior import Learn, main
from sage_ns.errors import SageError
from sage_ns.jobs.task import Task
from sage_ns.jobs.workplace import ThisMachine
from sage_ns.priors import coded, learning
from sage_ns.priors.coded import PriorError, load_prior
from sage_ns.priors.learning import FitSettings
from sage_ns.priors.linear import LinearPrior
from sage_ns.priors.models import ModelSettings, model_of, models
from sage_ns.priors.models.linear import LinearSettings
from sage_ns.priors.people import capture_name
from sage_ns.priors.person_fit import PersonFitSettings
from sage_ns.priors.sitter import reference_head
from sage_ns.rig import HeadModel
from tests.tiny_capture import edit_frames, write_tiny_capture

MODEL = LinearSettings(most_modes=2)


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("people")
    return [write_tiny_capture(folder / name, model=small_head(), num_timesteps=2) for name in ("a", "b", "c")]


def small_head() -> HeadModel:
    """The reference head with few coefficients: quick to write and to read."""
    head = reference_head()
    few = {name: getattr(head, name)[..., :2] for name in ("shape_basis", "expression_basis")}
    return replace(head, expression_names=(), **few)


def command(captures: list[Path], output: Path, *more: str) -> list[str]:
    return ["learn", *map(str, captures), "--output", str(output), "--num-places", "200", "--steps", "4", *more]


def test_a_prior_is_learned_and_described(
    captures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "prior.npz"
    main(command(captures, output))
    printed = " ".join(capsys.readouterr().out.split())
    assert "3 fitted, 0 kept" in printed and "linear, 200 places, 2 modes for each part" in printed
    prior = load_prior(output)
    assert prior.num_people == 3 and prior.mean.shape == (200, 9)
    main(["inspect", str(output)])
    assert "people 3" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        main(command(captures, output))
    assert "exists already" in capsys.readouterr().out


def test_a_decoder_is_learned_from_the_fits_that_are_kept(
    captures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "prior.npz"
    main(command(captures, output))
    more = "--overwrite", "--model", "decoder", "--decoder.steps", "5", "--decoder.code-length", "3"
    main(command(captures, output, *more))
    printed = " ".join(capsys.readouterr().out.split())
    assert "0 fitted, 3 kept" in printed and "decoder, 200 places, codes of length 3" in printed
    prior = load_prior(output)
    assert prior.model == "decoder" and prior.num_people == 3 and prior.mean.shape == (200, 9)
    main(["inspect", str(output)])
    assert "decoder, 200 places" in " ".join(capsys.readouterr().out.split())
    assert output.with_suffix(".people").joinpath("decoder.pt").exists()


def test_every_model_has_settings_in_the_command() -> None:
    for model in models():
        settings = Learn((), Path(), model=model.name).model_settings()
        assert isinstance(settings, ModelSettings) and settings.model == model.name
        settings.check()


def test_a_stopped_run_goes_on_and_gives_the_same_prior(
    captures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, stopped = tmp_path / "whole.npz", tmp_path / "stopped.npz"
    main(command(captures, whole))
    fit: Callable[..., Any] = learning.fit_person
    calls = []

    def until_killed(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(*arguments)

    monkeypatch.setattr(learning, "fit_person", until_killed)
    with pytest.raises(SystemExit):
        main(command(captures, stopped))
    assert not stopped.exists() and len(list(stopped.with_suffix(".people").glob("*.npz"))) == 2
    monkeypatch.setattr(learning, "fit_person", fit)
    damaged = stopped.with_suffix(".people") / "b.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    capsys.readouterr()
    main(command(captures, stopped))
    assert "2 fitted, 1 kept" in " ".join(capsys.readouterr().out.split())
    assert stopped.read_bytes() == whole.read_bytes()


def test_people_after_the_first_ones_start_from_their_mean_and_do_not_depend_on_each_other(
    captures: list[Path], tmp_path: Path
) -> None:
    settings = FitSettings(200, num_first=1, person=PersonFitSettings(steps=4, first_steps=12))
    options = [CaptureOptions(capture) for capture in captures]
    together = learning.learn_prior(options, tmp_path / "together", settings, MODEL)
    alone = learning.learn_prior([options[0], options[2]], tmp_path / "alone", settings, MODEL)
    assert (together.num_fitted, alone.num_fitted) == (3, 2)
    assert (tmp_path / "together" / "c.npz").read_bytes() == (tmp_path / "alone" / "c.npz").read_bytes()
    again = learning.learn_prior(options, tmp_path / "alone", settings, MODEL)
    assert (again.num_fitted, again.num_kept) == (1, 2)
    other_first = learning.learn_prior([options[1], options[0]], tmp_path / "alone", settings, MODEL)
    assert other_first.num_fitted == 2, "who starts from another mean is fitted again"


@pytest.mark.slow  # the next tests also run jobs
def test_jobs_fit_the_same_people(captures: list[Path], tmp_path: Path) -> None:
    settings = FitSettings(200, num_first=1, person=PersonFitSettings(steps=4, first_steps=12))
    options = [CaptureOptions(capture) for capture in captures]
    here = learning.learn_prior(options, tmp_path / "here", settings, MODEL)
    console = Console(file=StringIO())
    in_jobs = partial(fit_in_jobs, workplace=ThisMachine(1), console=console)
    there = learning.learn_prior(options, tmp_path / "there", settings, MODEL, "cpu", in_jobs)
    assert there.num_fitted == 3
    assert isinstance(here.prior, LinearPrior) and isinstance(there.prior, LinearPrior)
    assert torch.equal(here.prior.modes, there.prior.modes)
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["a.npz", "b.npz", "c.npz"]


def test_a_job_that_is_done_again_skips_whom_it_has_fitted_and_knows_where_its_files_are(
    captures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FitSettings(200, num_first=1, person=PersonFitSettings(steps=4, first_steps=12))
    learning.learn_prior([CaptureOptions(each) for each in captures], tmp_path / "fits", settings, MODEL)
    monkeypatch.chdir(tmp_path)
    fitted = tmp_path / "fits" / "b.npz"
    key, before = str(np.load(fitted)["key"]), (Path("fits") / "a.npz",)
    person = learning.PersonToFit("b", CaptureOptions(captures[1]), Path("fits") / "b.npz", key, before)
    stamp = fitted.stat().st_mtime_ns
    fit_in_jobs([person], settings, "cpu", Elsewhere(1), Console(file=StringIO()))
    assert fitted.stat().st_mtime_ns == stamp


class Elsewhere(ThisMachine):
    """A workplace whose processes begin in another folder, as those of other machines do."""

    def start(self, task: Task) -> str | None:
        """Start a task there."""
        here = Path.cwd()
        os.chdir(tempfile.gettempdir())
        try:
            return super().start(task)
        finally:
            os.chdir(here)


def test_a_job_that_fails_names_its_people_and_why(captures: list[Path], tmp_path: Path) -> None:
    settings = FitSettings(200, person=PersonFitSettings(steps=4))
    person = learning.PersonToFit("b", CaptureOptions(captures[1]), tmp_path / "b.npz", "key", (tmp_path / "a.npz",))
    with pytest.raises(SageError, match=r"the same command tries only these again(.|\n)*b: .*a\.npz"):
        fit_in_jobs([person], settings, "cpu", ThisMachine(1), Console(file=StringIO()))


def test_other_settings_fit_everybody_again(
    captures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "prior.npz"
    main(command(captures[:2], output))
    main(command(captures, output, "--overwrite"))
    assert "1 fitted, 2 kept" in " ".join(capsys.readouterr().out.split())
    main(command(captures, output, "--overwrite", "--seed", "1"))
    assert "3 fitted, 0 kept" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-places", "201"], "--num-places"),
        (["--steps", "0"], "--steps"),
        (["--linear.most-modes", "0"], "--linear.most-modes 0: expected 1 to 512"),
        (["--model", "decoder", "--decoder.hidden", "0"], "--decoder.hidden 0: expected 1 to 1024"),
        (["--downscale-factor", "0"], "--downscale-factor"),
        (["--device", "tpu"], "--device"),
        (["--output", "prior.txt"], "ends in .npz"),
        (["--background", "nocolour"], "background 'nocolour'"),
    ],
)
def test_options_that_cannot_be_used_are_named(
    captures: list[Path], tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(command(captures, tmp_path / "prior.npz", *options), message, capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_is_refused_with_the_names_of_all(
    captures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(command(captures, tmp_path / "prior.npz", "--model", "oracle"))
    printed = "".join(capsys.readouterr())
    assert all(model.name in printed for model in models())
    with pytest.raises(SageError, match=r"oracle.*choose one of decoder, linear"):
        model_of("oracle")


def test_captures_are_checked_before_anybody_is_fitted(
    captures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(learning, "fit_person", None)
    output = tmp_path / "prior.npz"
    refused(command(captures[:1], output), "at least 2 people", capsys)
    refused(command([*captures, captures[0]], output), "a is given twice", capsys)
    refused(command([*captures, tmp_path / "nobody"], output), "nobody", capsys)
    bare = write_tiny_capture(tmp_path / "bare", model=small_head(), num_timesteps=2)
    for file in bare.glob("transforms*.json"):
        edit_frames(file, fg_mask_path=None)
    refused(command([*captures, bare], output), "found no mask", capsys)


def test_a_prior_that_is_too_large_is_not_kept(
    captures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coded, "MOST_BYTES", 3000)
    output = tmp_path / "prior.npz"
    refused(command(captures, output), "--linear.most-modes", capsys)
    assert not output.exists()


def test_people_have_different_names() -> None:
    folders = [Path("/x/anna/capture"), Path("/x/ben/capture"), Path("/x/carl")]
    assert [capture_name(each, folders) for each in folders] == ["anna-capture", "ben-capture", "carl"]


def test_the_error_of_a_broken_prior_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prior.npz").write_bytes(b"nothing")
    refused(["inspect", str(tmp_path / "prior.npz")], "not a readable npz file", capsys)
    assert issubclass(PriorError, SageError)


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 1
    assert message in " ".join(capsys.readouterr().out.split())
