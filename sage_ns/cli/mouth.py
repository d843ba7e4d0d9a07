"""``sage-mouth-prior``: learn the appearance of the inside of the mouth from synthetic people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from sage_ns.cli.explained import explained
from sage_ns.errors import OptionError, SageError
from sage_ns.system.console import escape


@dataclass
class LearnMouthPrior:
    """Synthesise people with open mouths, fit surfels of the mouth to the pictures, and write them as a prior.

    Training uses the prior with ns-train METHOD --pipeline.model.mouth-prior OUT.
    """

    out: Annotated[Path, tyro.conf.Positional]
    """npz file to write"""
    first_person: int = 101
    """seed of the first synthetic person; the other people have the seeds that follow"""
    num_people: int = 4
    """number of people"""
    num_cameras: int = 5
    """cameras per person and pose"""
    size: int = 128
    """width and height of the pictures in pixels"""
    num_surfels: int = 3500
    """number of surfels of the mouth"""
    num_steps: int = 1500
    """optimiser steps, one picture each"""
    seed: int = 0
    """random seed of the surfels and of the order of the pictures"""

    def run(self, console: Console) -> None:
        """Synthesise the pictures, learn the prior and write it."""
        from sage_ns.priors.mouth import mouth_prior_of_synthetic_people

        self.check()
        people = range(self.first_person, self.first_person + self.num_people)
        prior = mouth_prior_of_synthetic_people(
            people, self.num_cameras, self.size, self.num_surfels, self.num_steps, self.seed
        )
        prior.save(self.out)
        console.print(f"mouth prior  {escape(str(self.out))}: {len(prior.triangle)} surfels", soft_wrap=True)

    def check(self) -> None:
        """Check all settings.

        Raises:
            SageError: A setting is out of range; names the setting, its value and the range.
        """
        limits = (("num_people", 1, 100), ("num_cameras", 1, 100), ("size", 32, 1024), ("num_surfels", 100, 100_000),
                  ("num_steps", 1, 1_000_000), ("first_person", 0, 2**31))  # fmt: skip
        for name, low, high in limits:
            found = getattr(self, name)
            if not low <= found <= high:
                raise OptionError(f"expected {low} to {high}", **{name: found})
        if self.out.suffix != ".npz":
            raise SageError(f"{self.out}: the prior is an npz file; give a name that ends in .npz")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-mouth-prior``."""
    console = Console()
    command = tyro.cli(LearnMouthPrior, args=arguments)
    with explained(console):
        command.run(console)
