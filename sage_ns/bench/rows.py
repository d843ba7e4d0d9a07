"""The rows of the benchmark: a method, its training moments, and the settings that differ from its preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sage_ns.capture.splits import FramesMode
from sage_ns.errors import SageError


@dataclass(frozen=True)
class Row:
    """One row. Settings are values by dotted name, as :func:`sage_ns.plugin.methods.configured` takes them."""

    title: str
    method: str = "sage-multiview"
    frames: FramesMode = "single"
    """training moments"""
    trained_with: Mapping[str, Any] = field(default_factory=dict)
    """settings of the training"""
    drawn_with: Mapping[str, Any] = field(default_factory=dict)
    """settings that act only when the avatar is drawn: rows that differ only in these share one training"""


SINGLE, MULTI, SAGE = "surfels-single", "surfels-multi", "sage"

ROWS: Mapping[str, Row] = {
    SINGLE: Row("surfels, one moment", "surfels"),
    MULTI: Row("surfels, all moments", "surfels", "multi"),
    SAGE: Row("SAGE, one moment"),
    "sage-networks": Row("SAGE with networks", trained_with={"pipeline.model.networks": True}),
    "sage-no-networks": Row("SAGE without networks", trained_with={"pipeline.model.networks": False}),
    "sage-no-self-supervision": Row("SAGE without self-supervision", trained_with={"pipeline.steps.self_supervise": 0}),
    "sage-no-anchor": Row("SAGE, no pictures in self-supervision", trained_with={"pipeline.anchor": 0.0}),
    "sage-no-correction": Row("SAGE without correction", trained_with={"pipeline.model.correction": False}),
    "sage-no-wrinkles": Row("SAGE without wrinkles", drawn_with={"pipeline.model.wrinkles": 0.0}),
    "sage-no-mouth": Row("SAGE without mouth", trained_with={"pipeline.model.mouth": False}),
    "sage-no-refinement": Row("SAGE with unrefined tracking", trained_with={"pipeline.model.tracking_prior": 0.0}),
    "sage-similarity-correction": Row(
        "SAGE with the paper's correction",
        trained_with={"pipeline.model.correction_source": "similarity", "pipeline.model.correction_gamma": 1.0},
    ),
    "sage-rendered-wrinkles": Row(
        "SAGE with the paper's wrinkles",
        drawn_with={"pipeline.model.wrinkle_rule": "rendered", "pipeline.model.wrinkle_dimming": 0.05},
    ),
    "sage-field-colors": Row(
        "SAGE, phase 2 aims at the field's colours", trained_with={"pipeline.appearance_source": "field"}
    ),
    "sage-hit-depths": Row(
        "SAGE, distortion and field's teacher by hits",
        trained_with={"pipeline.model.distortion": "hit", "pipeline.model.field_teacher": "hit"},
    ),
    "sage-paper": Row("the paper's algorithm as written", "sage-paper"),
    "sage-paper-no-self-supervision": Row(
        "the paper's, without self-supervision", "sage-paper", trained_with={"pipeline.steps.self_supervise": 0}
    ),
    "sage-paper-no-correction": Row(
        "the paper's, without correction", "sage-paper", trained_with={"pipeline.model.correction": False}
    ),
    "sage-paper-no-networks": Row(
        "the paper's, without networks",
        "sage-paper",
        trained_with={"pipeline.model.networks": False, "pipeline.model.networks_alone": False},
    ),
}
"""Rows in the order of the table. One of the two rows about networks equals ``sage``; the preset determines which."""


def check_rows(names: Sequence[str]) -> None:
    """Check that all names are rows.

    Raises:
        SageError: a name is not a row; lists all rows.
    """
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise SageError(f"There is no row {', '.join(map(repr, unknown))}. Rows: {', '.join(ROWS)}.")
