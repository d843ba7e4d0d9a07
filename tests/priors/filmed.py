"""Captures of invented people whose faces redden as they move: pictures drawn from surfels at places of an atlas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from sage_ns.capture.checked import CaptureOptions
from sage_ns.priors.attributes import COLOUR
from sage_ns.priors.people import canonical_views, frame_camera, training_moments
from sage_ns.priors.sitter import Sitter, reference_atlas, sit
from sage_ns.priors.uv_decoder import moving_places
from tests.priors.people import NUM_PLACES, drawn, people
from tests.priors.test_learning import small_head
from tests.tiny_capture import write_tiny_capture

REDNESS = 0.4
"""Change of red at the last moment, which is for testing."""


def write_people(folder: Path, count: int, num_timesteps: int = 4) -> list[CaptureOptions]:
    """Write a capture of each of `tests.priors.people.people`: moments 0 (neutral) to 2, and 3 for testing."""
    captures = []
    for number, attributes in enumerate(people(count)):
        path = write_tiny_capture(
            folder / f"person{number}", num_timesteps=num_timesteps, width=40, height=52, model=small_head()
        )
        captures.append(CaptureOptions(path, canonical_timestep=0))
        redraw(captures[-1], lambda row, person=attributes: reddened(person, row / (num_timesteps - 1)))
    return captures


def reddened(attributes: Tensor, share: float) -> Tensor:
    """The person whose face and lips are redder."""
    changed = attributes.clone()
    changed[moving_places(reference_atlas(NUM_PLACES)), COLOUR.start] += REDNESS * share
    return changed


def redraw(options: CaptureOptions, attributes: Callable[[int], Tensor]) -> None:
    """Replace all training pictures and masks of a capture by those of a person; takes the row of the moment."""
    record, moments = training_moments(options, 100)
    for timestep, frames in moments.items():
        row = record.timesteps.tolist().index(timestep)
        sitter = moment_of(options, row)
        for frame in frames:
            color, alpha = drawn(attributes(row), sitter, frame_camera(frame, 1))
            assert frame.mask_path is not None
            for path, pixels in ((frame.image_path, color), (frame.mask_path, alpha[..., 0])):
                Image.fromarray((255 * pixels.clamp(0, 1)).round().numpy().astype(np.uint8)).save(path)


def moment_of(options: CaptureOptions, row: int) -> Sitter:
    """A person at one moment, without pictures that count."""
    record, views = canonical_views(options)
    return sit(replace(record, canonical_row=row), views, NUM_PLACES)
