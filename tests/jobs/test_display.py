from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from sage_ns.jobs.display import Display
from sage_ns.jobs.task import Progress, Task


def tasks_in(folder: Path) -> list[Task]:
    progress = Progress("training", 120, 2000)
    known = Task(("sage", "head[1]", "seed 4"), "none", folder, progress=lambda: progress)
    return [known, *(Task((f"row{i}", "head", "seed 4"), "none", folder) for i in range(9))]


def test_a_terminal_shows_a_live_table(tmp_path: Path) -> None:
    text = io.StringIO()
    tasks = tasks_in(tmp_path)
    with Display(Console(file=text, width=140, force_terminal=True), "row", ("row", "capture", "seed"), tasks) as shown:
        shown.started(tasks[0], "alpha", 2)
        shown.started(tasks[1], "beta", 1)
    drawn = text.getvalue()
    assert "head[1]" in drawn and "training, try 2" in drawn and "120 of 2,000" in drawn and "alpha" in drawn
    assert "preparing" in drawn and "beta" in drawn and "waiting" in drawn
    assert "0 of 10 done, 2 running, 8 waiting, 0:00:0" in drawn
    assert "started on" not in drawn and "row8" not in drawn  # the table shows the first five that wait


def test_other_outputs_get_plain_lines(tmp_path: Path) -> None:
    text = io.StringIO()
    tasks = tasks_in(tmp_path)
    (tmp_path / "log.txt").write_text("\n".join(f"line {i} [x]" for i in range(30)))
    with Display(Console(file=text, width=140), "row", ("row", "capture", "seed"), tasks) as shown:
        shown.succeeded(tasks[1], "done before")
        shown.started(tasks[0], "alpha", 1)
        shown.ended(tasks[0])
        shown.succeeded(tasks[0], "12 s")
        shown.started(tasks[2], "", 1)
        shown.ended(tasks[2])
        shown.failed(tasks[2], "no place")
    lines = text.getvalue().splitlines()
    assert lines[:3] == [
        "row 1 of 10: row0, head, seed 4: done before",
        "row: sage, head[1], seed 4: started on alpha",
        "row 2 of 10: sage, head[1], seed 4: 12 s",
    ]
    assert lines[3] == f"row 3 of 10: row1, head, seed 4: failed (no place); the end of {tmp_path / 'log.txt'}:"
    assert lines[4:] == [f"line {i} [x]" for i in range(15, 30)]
