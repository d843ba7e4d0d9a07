"""Contact sheets: pictures where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sage_ns.capture import read_capture
from sage_ns.video.contact_sheet import (
    CAPTURE_COLUMNS,
    LABEL_HEIGHT,
    MARGIN,
    SheetRow,
    error_map,
    head_box,
    write_capture_sheet,
    write_contact_sheet,
)
from tests.tiny_capture import write_tiny_capture


def test_pictures_lie_in_rows_and_columns(tmp_path: Path) -> None:
    shades = torch.tensor([[0.1, 0.3], [0.5, 0.7]])
    rows = [SheetRow("row", [torch.full((30, 20, 3), float(shade)) for shade in shades[row]]) for row in range(2)]
    write_contact_sheet(tmp_path / "new" / "sheet.png", ("one", "two"), rows)
    sheet = np.asarray(Image.open(tmp_path / "new" / "sheet.png"))
    assert sheet.shape == (LABEL_HEIGHT + 2 * (30 + LABEL_HEIGHT), 2 * 20 + 3 * MARGIN, 3)
    for row in range(2):
        for column in range(2):
            y, x = LABEL_HEIGHT + row * (30 + LABEL_HEIGHT) + 15, MARGIN + column * (20 + MARGIN) + 10
            assert abs(int(sheet[y, x, 0]) - 255 * float(shades[row, column])) < 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]


def test_a_captures_views_are_all_there(tmp_path: Path) -> None:
    capture = read_capture(write_tiny_capture(tmp_path / "capture"))
    write_capture_sheet(capture, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    frame = capture.train[0]
    assert sheet.shape[1] == CAPTURE_COLUMNS * frame.width + MARGIN * (CAPTURE_COLUMNS + 1)
    views = sorted((*capture.train, *capture.val), key=lambda each: each.camera_index)
    for column, view in enumerate(each for each in views if each.timestep == frame.timestep):
        left = MARGIN + column * (frame.width + MARGIN)
        shown = sheet[LABEL_HEIGHT : LABEL_HEIGHT + frame.height, left : left + frame.width]
        np.testing.assert_array_equal(shown, np.asarray(Image.open(view.image_path).convert("RGB")))


def test_errors_and_heads() -> None:
    truth = torch.ones(10, 8, 3)
    assert torch.equal(error_map(truth - 0.125, truth), torch.full_like(truth, 0.5))
    truth[4:6, 2:5] = 0.0
    assert head_box(truth, torch.ones(3), margin=0.5) == (slice(3, 7), slice(1, 6))
    assert head_box(torch.ones(4, 4, 3), torch.ones(3)) == (slice(None), slice(None))
