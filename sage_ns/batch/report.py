"""The report of a batch: what became of each capture, as batch.json and batch.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sage_ns.batch.job import BatchSettings
from sage_ns.bench.provenance import provenance
from sage_ns.bench.sheet import Sheet, as_markdown
from sage_ns.system.files import write_json, write_text
from sage_ns.system.typed_json import plain

REPORT_FILE, TABLE_FILE = "batch.json", "batch.md"

State = Literal["waiting", "done", "failed"]


@dataclass
class Entry:
    """What became of one capture."""

    capture: Path
    state: State = "waiting"
    reason: str = ""
    """why it failed"""
    seconds: float | None = None
    """of the job, with all its parts; None = not run yet"""
    result: Mapping[str, Any] = field(default_factory=dict)
    """content of its ``result.json``"""


def sheet_of(entries: Sequence[Entry]) -> Sheet:
    """Return the table of a batch."""
    counts = [f"{sum(each.state == state for each in entries)} {state}" for state in ("done", "failed", "waiting")]
    return Sheet(
        f"{len(entries)} captures: {', '.join(counts)}",
        ("capture", "state", "time", "surfels", "exports", "reason"),
        [_cells(each) for each in entries],
    )


def _cells(entry: Entry) -> tuple[str, ...]:
    surfels = entry.result.get("num_surfels")
    return (
        entry.capture.name,
        entry.state,
        "" if entry.seconds is None else f"{entry.seconds:,.0f} s",
        "" if surfels is None else f"{surfels:,}",
        ", ".join(entry.result.get("exports", {}).values()),
        " ".join(entry.reason.split()),
    )


def write_report(out: Path, entries: Sequence[Entry], settings: BatchSettings) -> None:
    """Write batch.json and batch.md into the folder of the batch."""
    given = ", ".join(f"{name} {value}" for name, value in plain(settings).items() if value is not None)
    write_text(out / TABLE_FILE, f"# sage-batch\n\n{given}\n\n{as_markdown(sheet_of(entries))}")
    content = {
        **provenance(),
        "settings": plain(settings),
        "captures": {each.capture.name: plain(each) for each in entries},
    }
    write_json(out / REPORT_FILE, content)
