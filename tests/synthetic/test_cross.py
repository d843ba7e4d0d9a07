"""The truth of cross-reenactment, and true surfaces of all moments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.capture import read_capture
from sage_ns.errors import CaptureError
from sage_ns.rig import FlameParams
from sage_ns.synthetic import SyntheticCapture, synthesize_capture
from sage_ns.synthetic.head import builtin_head, builtin_identity
from sage_ns.synthetic.motion import perform

TINY = SyntheticCapture(
    width=40, height=58, num_cameras=4, num_train_timesteps=1, num_test_timesteps=1, num_driver_timesteps=2,
    supersampling=1, workers=1, tracking_error=0.0, num_cross_timesteps=2, true_surfaces="all",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    told: list[tuple[int, int]] = []
    made = synthesize_capture(tmp_path_factory.mktemp("cross") / "person", TINY, lambda *done: told.append(done))
    # 4 + 3 or 4 pictures of the capture, and 3 moments of two cameras; one count for all of them.
    assert told[-1][0] == told[-1][1] == told[0][1] and [done for done, _ in told] == sorted(done for done, _ in told)
    return made


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_it_is_a_capture_of_two_cameras(folder: Path) -> None:
    cross = read_capture(folder / "cross")
    other = sorted({frame.camera_index for frame in read_capture(folder).train})
    places = [(frame.timestep, frame.camera_index) for frame in cross.train]
    cameras = sorted({camera for _, camera in places})
    assert len(cameras) == 2 and 8 in cameras and set(cameras) <= {8, *other}
    assert places == [(timestep, camera) for timestep in (0, 1, 2) for camera in cameras]
    assert all(frame.mask_path is not None and frame.mask_path.is_file() for frame in cross.train)


def test_the_pictures_show_the_person_and_the_parameters_are_the_drivers(folder: Path) -> None:
    # The first moment is neutral for both: its picture is that of the capture's own neutral moment.
    neutral = picture(folder / "images" / "00000_08.png")
    assert np.array_equal(picture(folder / "cross" / "images" / "00000_08.png"), neutral)
    assert np.abs(picture(folder / "cross" / "images" / "00001_08.png") - neutral).max() > 30
    params = FlameParams.load(folder / "cross" / "flame_param")
    assert params.num_timesteps == 3
    torch.testing.assert_close(params.shape, builtin_identity(1001))
    expected = perform(builtin_head(), "driver", 2, 1000)
    torch.testing.assert_close(params.expr[1:], torch.from_numpy(expected.expr).float())
    own = FlameParams.load(folder / "flame_param")
    torch.testing.assert_close(params.expr[0], own.expr[0])
    assert not torch.equal(params.shape, own.shape)


def test_the_driver_is_tracked_with_the_error_of_the_capture(folder: Path, tmp_path: Path) -> None:
    noisy = synthesize_capture(tmp_path / "person", replace(TINY, tracking_error=1.0), lambda *_: None)
    exact, found = (FlameParams.load(each / "cross" / "flame_param") for each in (folder, noisy))
    assert 0.001 < float((exact.jaw_pose - found.jaw_pose).abs().max()) < 0.1
    assert np.array_equal(
        picture(folder / "cross" / "images" / "00002_08.png"), picture(noisy / "cross" / "images" / "00002_08.png")
    )


def test_true_surfaces_of_all_moments(folder: Path) -> None:
    with np.load(folder / "truth" / "surface.npz") as truth:
        assert truth["timesteps"].tolist() == [0, 1]
        neutral, other = truth["vertices"]
        assert 0.001 < np.linalg.norm(neutral - other, axis=-1).max() < 0.2
        assert truth["face"].shape == truth["triangles"].shape[:1]


def test_numbers_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="'num_cross_timesteps' is -1"):
        synthesize_capture(tmp_path / "person", replace(TINY, num_cross_timesteps=-1))
