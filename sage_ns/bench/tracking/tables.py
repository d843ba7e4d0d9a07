"""Tables of tracking results: every capture, and mean, spread and worst of each row over those of a head model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sage_ns.bench.sheet import Sheet, as_markdown, cell
from sage_ns.bench.summary import figure_of
from sage_ns.bench.tracking.kinds import kinds
from sage_ns.bench.tracking.measure import TrackingResult


@dataclass(frozen=True)
class Column:
    """How tables show a figure."""

    title: str
    digits: int
    larger_is_better: bool = False
    target: float | None = None
    """The perfect value, where it is neither 0 nor as large as possible."""

    def worst(self, values: Sequence[float]) -> float:
        """Return the worst of some values."""
        if self.target is not None:
            target = self.target
            return max(values, key=lambda value: abs(value - target))
        return min(values) if self.larger_is_better else max(values)


COLUMNS: Mapping[str, Column] = {
    "surface": Column("surface, mm", 2),
    "correspondence": Column("correspondence, mm", 2),
    "surface_no_scale": Column("surface, no scale, mm", 2),
    "scale": Column("scale", 3, target=1.0),
    "rotation": Column("rotation, °", 1),
    "rotation_largest": Column("largest, °", 1),
    "jaw": Column("jaw, °", 1),
    "jaw_r": Column("jaw r", 3, larger_is_better=True),
    "lips_r": Column("lips r", 3, larger_is_better=True),
    "lids_r": Column("lids r", 3, larger_is_better=True),
    "focal": Column("focal length", 2, target=1.0),
    "camera_rotation_mean": Column("cameras, °", 2),
    "camera_rotation_largest": Column("largest, °", 2),
    "camera_position_mean": Column("cameras, mm", 1),
    "camera_position_largest": Column("largest, mm", 1),
}
"""Figures by name, in the order of the tables. A column that no result has is left out."""

MEANING = (
    "Surface and correspondence: mean distances of the face from the true one after the similarity that fits best, "
    "over moments; scale: of that similarity (true / tracked); no scale: after rotation and translation alone. "
    "Rotation: of the head against the camera, mean and largest over pictures; jaw: root mean square of its angle to "
    "the true jaw. r: correlation with the true opening, where it moves. Focal length: found / true. Seconds of "
    "processor time."
)


def sheets(results: Sequence[TrackingResult]) -> list[Sheet]:
    """Return for each kind a table of all captures, then one over the captures of each head model."""
    found = []
    for kind in kinds.entries():
        chosen = _ordered([each for each in results if each.kind == kind.name], kind.rows)
        if chosen:
            found.append(_captures(kind.name, chosen))
        for model in dict.fromkeys(each.head_model for each in chosen):
            same = [each for each in chosen if each.head_model == model]
            if len({each.capture for each in same}) > 1:
                found.append(_over_captures(kind.name, model, same))
    return found


def markdown(results: Sequence[TrackingResult]) -> str:
    """Return all tables, what their columns mean, what was refused, and the commits, as Markdown."""
    refused = [f"- {each.capture}, {each.kind}, {each.row}: {each.refused}" for each in results if each.refused]
    parts = [as_markdown(sheet) for sheet in sheets(results)]
    parts += ["Refused:\n\n" + "\n".join(refused) + "\n"] if refused else []
    commits = ", ".join(sorted({each.commit for each in results}))
    dates = sorted({each.date[:10] for each in results})
    return "\n".join(
        [*parts, f"{MEANING}\n", f"Commit {commits}; {' to '.join(dict.fromkeys((dates[0], dates[-1])))}.\n"]
    )


def as_json(results: Sequence[TrackingResult]) -> dict[str, Any]:
    """Return every figure, and mean, deviation and worst of each row over captures, for results.json."""
    rows = []
    for kind, row, model in dict.fromkeys((each.kind, each.row, each.head_model) for each in results):
        same = [each for each in results if (each.kind, each.row, each.head_model) == (kind, row, model)]
        over = {}
        for name, column in COLUMNS.items():
            values = _values(same, name)
            if values:
                over[name] = {**asdict(figure_of(values)), "worst": column.worst(values), "captures": len(values)}
        rows.append({"kind": kind, "row": row, "head_model": model, "figures": over})
    return {"results": [asdict(each) for each in results], "over_captures": rows}


def _captures(kind: str, results: Sequence[TrackingResult]) -> Sheet:
    names = _columns(results)
    body = []
    for each in results:
        figures = [f"{each.figures[name]:.{COLUMNS[name].digits}f}" if name in each.figures else "-" for name in names]
        seconds = f"{each.seconds:.0f}" if each.num_pictures else "-"
        body.append([each.capture, each.row + " (refused)" * bool(each.refused), *figures, seconds, each.against])
    headings = ["capture", "row", *(COLUMNS[name].title for name in names), "s", "against"]
    return Sheet(f"**{kind}**", headings, body)


def _over_captures(kind: str, model: str, results: Sequence[TrackingResult]) -> Sheet:
    names = _columns(results)
    body = []
    for row in dict.fromkeys(each.row for each in results):
        same = [each for each in results if each.row == row]
        cells = []
        for name in names:
            values, column = _values(same, name), COLUMNS[name]
            worst = f" ({column.worst(values):.{column.digits}f})" if len(values) > 1 else ""
            cells.append(cell(figure_of(values) if values else None, column.digits) + worst)
        measured = sum(1 for each in same if not each.refused)
        body.append([row, f"{measured} of {len(same)}", *cells])
    headings = ["row", "captures", *(COLUMNS[name].title for name in names)]
    return Sheet(f"**{kind}, {model}**: mean ± standard deviation over captures (worst)", headings, body)


def _columns(results: Sequence[TrackingResult]) -> list[str]:
    return [name for name in COLUMNS if any(name in each.figures for each in results)]


def _values(results: Sequence[TrackingResult], name: str) -> list[float]:
    return [each.figures[name] for each in results if name in each.figures]


def _ordered(results: Sequence[TrackingResult], rows: Sequence[str]) -> list[TrackingResult]:
    places = {row: place for place, row in enumerate(rows)}
    return sorted(results, key=lambda each: (each.capture, places.get(each.row, len(rows)), each.row))
