"""``sage-capture people``: captures of varied built-in people by number."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from sage_ns.errors import CaptureError
from sage_ns.synthetic.people import PeopleSettings, write_people, write_people_sheet
from sage_ns.system.console import escape

_SHEETS = (".jpg", ".png")


@dataclass
class People:
    """Make captures of built-in people who differ in skin, age, face, hair, brows, beard, eyes and light.

    Writes OUT/p0200, OUT/p0201, ... for the people FIRST to LAST - 1. A number alone says who a person is. People 0 to
    99 are for development, 100 to 199 are kept for checks (learn and tune on none of them), 200 and above are for
    learning. People that are there are skipped: a stopped command goes on.
    """

    out: Annotated[Path, tyro.conf.Positional]
    """folder to write the captures into"""
    first: Annotated[int, tyro.conf.Positional]
    """number of the first person"""
    last: Annotated[int, tyro.conf.Positional]
    """number after the last person"""
    sheet: Path | None = None
    """image file (.jpg or .png) to draw all of them into, seen from the front; replaced if it is there"""
    settings: Annotated[PeopleSettings, tyro.conf.arg(name="")] = field(default_factory=PeopleSettings)
    """settings of the captures"""

    def run(self, console: Console) -> None:
        """Write the captures and print the next command."""
        if self.sheet is not None and self.sheet.suffix.lower() not in _SHEETS:
            raise CaptureError(f"--sheet {self.sheet}: give a name that ends in {' or '.join(_SHEETS)}")
        folders = write_people(self.out, self.first, self.last, self.settings)
        if self.sheet is not None:
            write_people_sheet(folders, self.sheet)
            console.print(f"sheet       {escape(str(self.sheet))}", soft_wrap=True)
        console.print(f"written     {len(folders)} people, {escape(str(self.out))}", soft_wrap=True)
        if self.settings.regime == "moment":
            console.print(f"next: [bold]sage-prior learn {escape(str(self.out))}/p*[/bold]", soft_wrap=True)
