"""Presets: sets of sizes, and the settings in which a run differs from its preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from sage_ns.errors import SageError


@dataclass(frozen=True)
class Preset:
    """Values for the settings that the user leaves at None."""

    steps: Mapping[str, int]
    """Number of steps of each phase by name."""
    model: Mapping[str, Any]
    """Values by dotted name of a setting of the model."""


PRESETS: Mapping[str, Preset] = {
    "paper": Preset(
        steps={"reconstruct": 30_000, "self_supervise": 10_000},
        model={
            "num_surfels": 150_000,
            "densification.most": 1_000_000,
            "num_rays": 1024,
            "num_surface_points": 16_384,
            "sdf.num_levels": 14,
            "sdf.log2_table_size": 19,
            "sdf.finest": 900,
            "networks": True,
        },
    ),
    "small": Preset(
        steps={"reconstruct": 2_000, "self_supervise": 800},
        model={
            "num_surfels": 30_000,
            "densification.most": 30_000,
            "num_rays": 192,
            "num_surface_points": 3072,
            "sdf.num_levels": 8,
            "sdf.log2_table_size": 17,
            "sdf.finest": 224,
            # In 2,000 steps, networks cost more time than they gain quality: docs/lab_notebook.md.
            "networks": False,
        },
    ),
}


def find_preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises:
        SageError: there is no such preset.
    """
    if name not in PRESETS:
        raise SageError(f"There is no preset '{name}'. Presets: auto, {', '.join(PRESETS)}.")
    return PRESETS[name]


def apply_preset(preset: Preset, model: Any) -> None:
    """Set the settings that are None to the preset's values; a setting with any other value stays as it is.

    Args:
        preset: source of the values.
        model: config of the model; changed in place.
    """
    for name, value in preset.model.items():
        holder, last = _holder(model, name)
        if getattr(holder, last) is None:
            setattr(holder, last, value)


def changed_settings(preset: Preset, model: Any) -> dict[str, Any]:
    """Return the settings of a model config that differ from preset and defaults, by dotted name.

    Args:
        preset: the preset that has been applied to ``model``.
        model: config of the model.
    """
    default = type(model)()
    apply_preset(preset, default)
    return dict(_differences(model, default, ""))


def _differences(value: Any, default: Any, prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for each in fields(value):
        here, there = getattr(value, each.name), getattr(default, each.name)
        if is_dataclass(here) and type(here) is type(there):
            found += _differences(here, there, f"{prefix}{each.name}.")
        elif here != there and not each.name.startswith("_"):
            found.append((prefix + each.name, here))
    return found


def _holder(model: Any, name: str) -> tuple[Any, str]:
    *path, last = name.split(".")
    for part in path:
        model = getattr(model, part)
    return model, last
