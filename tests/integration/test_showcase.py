"""The pictures that sage-demo shows of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nerfstudio.utils.eval_utils import eval_setup
from PIL import Image

from sage_ns.plugin.showcase import FPS, write_reenactment, write_sheet
from sage_ns.video.contact_sheet import LABEL_HEIGHT
from sage_ns.video.ffmpeg import inspect_media
from tests.integration.conftest import Run
from tests.tiny import tiny_head_model
from tests.tiny_capture import tiny_motion


def test_a_sheet_and_a_video_of_a_run(tiny_run: Run, tmp_path: Path) -> None:
    pipeline: Any = eval_setup(tiny_run.config, test_mode="test")[1]
    write_sheet(pipeline, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    rows = 2 + len({frame[0].metadata["timestep"].item() for frame in pipeline.datamanager.evaluation_pairs("test")})
    assert sheet.shape[0] > LABEL_HEIGHT + min(rows, 5) * LABEL_HEIGHT and sheet.std() > 10
    own = pipeline.model.motion.motion.shape[0]
    for driver, num_rows in ((tmp_path / "driver.npz", 7), (tmp_path / "none.npz", own)):
        if num_rows == 7:
            tiny_motion(tiny_head_model(), 7).save_vhap(driver)
        write_reenactment(pipeline, driver, tmp_path / "video.mp4")
        media = inspect_media(tmp_path / "video.mp4")
        assert media.fps == FPS and media.seconds is not None
        assert round(media.seconds * FPS) == 2 * num_rows
