"""Which moments and cameras a training uses; validation and test never change."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sage_ns.capture.checked import CaptureOptions, load_capture
from sage_ns.capture.flame_table import expression_distances, expression_magnitude
from sage_ns.capture.layout import TRAIN, read_capture
from sage_ns.capture.selection import Selection, angles, cameras_in_order, timesteps_in_order
from sage_ns.capture.splits import Splits
from sage_ns.errors import CaptureError
from sage_ns.rig import FlameParams
from tests.tiny import tiny_head_model, tiny_params
from tests.tiny_capture import tiny_motion, write_tiny_capture, write_transforms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training moments, filmed by five cameras at -75 to 45 degrees; the one at 75 is held out."""
    return write_tiny_capture(tmp_path_factory.mktemp("selection") / "head", num_cameras=6, num_timesteps=8)


def splits(folder: Path, **options) -> Splits:
    return load_capture(CaptureOptions(folder, **options)).splits


def trained(folder: Path, **options) -> tuple[list[int], list[int]]:
    """Timesteps and cameras of the training frames."""
    train = splits(folder, **options).train
    return sorted({frame.timestep for frame in train}), sorted({frame.camera_index for frame in train})


def places(frames) -> list[tuple[int, int]]:
    return [(frame.timestep, frame.camera_index) for frame in frames]


def test_everything_is_selected_by_default(folder: Path) -> None:
    assert trained(folder, frames="multi") == ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4])
    assert trained(folder) == ([0], [0, 1, 2, 3, 4])


def test_the_frontal_camera_comes_first_then_the_farthest(folder: Path) -> None:
    # Cameras 0..4 stand at -75, -45, -15, 15, 45 degrees; 2 and 3 are equally frontal, up to rounding.
    capture, model = read_capture(folder), tiny_head_model()
    neutral = FlameParams.load(folder / "flame_param" / "00000.npz")
    assert cameras_in_order(capture.train, neutral, model, 1)[0] in (2, 3)
    # The face looks to camera 4: 0 is 120 degrees away, and 2 is 60 degrees away from both.
    turned = replace(neutral, rotation=torch.tensor([[0.0, math.radians(45), 0.0]]))
    assert cameras_in_order(capture.train, turned, model)[:3] == (4, 0, 2)


def test_angles_between_directions() -> None:
    directions = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [math.sin(1e-4), 0.0, 1.0]])
    expected = torch.tensor([0.0, math.pi / 2, math.pi, 1e-4])
    torch.testing.assert_close(angles(directions, directions[0]), expected, atol=1e-7, rtol=1e-4)


def test_moments_in_the_order_of_their_difference() -> None:
    # Expression and jaw grow evenly from moment to moment, as points on a line do.
    model = tiny_head_model()
    motion = tiny_motion(model, 5)
    moments = {10 * row: motion[row] for row in range(5)}
    assert timesteps_in_order([0, 10, 20, 30, 40], 0, moments, model)[:3] == (0, 40, 20)
    assert timesteps_in_order([0, 10, 30, 40], 40, moments, model, 2) == (40, 0)


def test_pose_gaze_and_identity_make_no_difference() -> None:
    model = tiny_head_model()
    motion = tiny_motion(model, 4)
    moments = {row: motion[row] for row in range(4)}
    posed = tiny_params(model, 4, size=0.3)
    names = ("rotation", "neck_pose", "eyes_pose", "translation")
    moved = replace(motion, **{name: getattr(posed, name) for name in names}, shape=posed.shape)
    others = {row: replace(moved[row], shape=moments[0].shape) if row == 1 else moved[row] for row in range(4)}
    assert timesteps_in_order(range(4), 1, others, model) == timesteps_in_order(range(4), 1, moments, model)


def test_distance_from_neutral_is_the_magnitude() -> None:
    model = tiny_head_model()
    motion = tiny_motion(model, 4)  # moment 0 is neutral
    torch.testing.assert_close(expression_distances(motion, model, 0, chunk=3), expression_magnitude(motion, model))
    assert expression_distances(motion, model, 2)[2] == pytest.approx(0, abs=1e-8)


def test_chosen_timesteps_and_cameras(folder: Path) -> None:
    chosen = splits(folder, frames="multi", timesteps=(4, 0, 4), cameras=(3, 1))
    assert places(chosen.train) == [(0, 1), (0, 3), (4, 1), (4, 3)]
    assert trained(folder, cameras=(4,)) == ([0], [4])
    assert trained(folder, frames="multi", canonical_timestep=2, timesteps=(2, 3))[0] == [2, 3]


def test_numbers_of_timesteps_and_cameras(folder: Path) -> None:
    assert trained(folder, frames="multi", num_timesteps=1)[0] == [0]
    assert trained(folder, frames="multi", num_timesteps=2)[0] == [0, 5]
    assert trained(folder, frames="multi", num_timesteps=6)[0] == [0, 1, 2, 3, 4, 5]
    two = set(trained(folder, num_cameras=2)[1])
    three = set(trained(folder, num_cameras=3)[1])
    assert len(two) == 2 and two < three and three & {0, 4} == {0, 4}


def test_validation_and_test_stay(folder: Path) -> None:
    for mode in ("single", "multi"):
        whole = splits(folder, frames=mode)
        for options in ({"num_cameras": 1}, {"cameras": (0,)}, {"num_timesteps": 1}):
            part = splits(folder, frames=mode, **options)
            assert places(part.val) == places(whole.val) and places(part.test) == places(whole.test)
            assert part.seen.keys() == whole.seen.keys() and part.sources == whole.sources


def test_what_is_selected_away_stays_seen(folder: Path, tmp_path: Path) -> None:
    """A frame of the test split that some selection trains on is left out of the test of all selections."""
    other = write_tiny_capture(tmp_path / "head", num_timesteps=4)
    frames = json.loads((other / TRAIN).read_text())["frames"]
    test = json.loads((other / "transforms_test.json").read_text())["frames"]
    write_transforms(other / "transforms_test.json", test + [f for f in frames if f["timestep_index"] == 2])
    whole, part = splits(other, frames="multi"), splits(other, frames="multi", num_timesteps=1)
    assert places(whole.test) == places(part.test) == [(3, 0), (3, 1), (3, 2)]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Camera 0 films moments 0 and 1 only, camera 1 films moments 0 and 2 only."""
    folder = write_tiny_capture(tmp_path_factory.mktemp("uneven") / "head")
    frames = json.loads((folder / TRAIN).read_text())["frames"]
    missing = {(2, 0), (1, 1)}
    kept = [frame for frame in frames if (frame["timestep_index"], frame["camera_index"]) not in missing]
    write_transforms(folder / TRAIN, kept)
    return folder


def test_moments_that_no_chosen_camera_filmed_do_not_count(uneven: Path) -> None:
    assert trained(uneven, frames="multi", cameras=(0,)) == ([0, 1], [0])
    assert trained(uneven, frames="multi", cameras=(1,), num_timesteps=2) == ([0, 2], [1])
    with pytest.raises(CaptureError, match=r"num_timesteps is 3, but .* 2 timesteps: 0, 2\. Give at most 2"):
        trained(uneven, frames="multi", cameras=(1,), num_timesteps=3)
    with pytest.raises(CaptureError, match=r"timestep 1 has no training picture of the selected cameras.*: 0, 2\."):
        trained(uneven, frames="multi", cameras=(1,), timesteps=(0, 1))


def test_cameras_without_a_picture_of_the_canonical_moment(uneven: Path) -> None:
    with pytest.raises(CaptureError, match=r"cameras: none of 1 films the canonical timestep 1, but 0 do"):
        trained(uneven, frames="multi", canonical_timestep=1, cameras=(1,))
    with pytest.raises(CaptureError, match=r"num_cameras is 2, but 1 cameras film the canonical timestep 1.*at most 1"):
        trained(uneven, frames="multi", canonical_timestep=1, num_cameras=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timesteps": (0, 1), "num_timesteps": 2}, "timesteps 0, 1 and num_timesteps 2 are both set"),
        ({"cameras": (0,), "num_cameras": 2}, "cameras 0 and num_cameras 2 are both set"),
        ({"timesteps": ()}, "timesteps is empty"),
        ({"cameras": ()}, "cameras is empty"),
        ({"num_timesteps": 0}, "num_timesteps is 0"),
        ({"num_cameras": -1}, "num_cameras is -1"),
        ({"timesteps": (1, 2)}, "timesteps 1, 2 leave out the canonical timestep 0"),
        ({"timesteps": (0, 7)}, "timestep 7 is held out for the test. Timesteps to choose from: 0, 1, 2, 3, 4, 5."),
        ({"timesteps": (0, 99)}, "timestep 99 has no training picture. Timesteps to choose from: 0, 1"),
        ({"cameras": (0, 5)}, "camera 5 films held-out pictures only. Cameras with training pictures: 0, 1, 2, 3, 4"),
        ({"cameras": (0, 9)}, "camera 9 is not a camera of the capture"),
        ({"num_timesteps": 7}, "num_timesteps is 7, but the selected cameras have training pictures of 6 timesteps"),
        ({"num_cameras": 6}, "num_cameras is 6, but 5 cameras film the canonical timestep 0"),
        ({"frames": "single", "num_timesteps": 2}, "num_timesteps is 2, but frames is single"),
        ({"frames": "single", "timesteps": (0, 1)}, "timesteps is 0, 1, but frames is single"),
    ],
)
def test_what_cannot_be_selected(folder: Path, options: dict, message: str) -> None:
    with pytest.raises(CaptureError) as error:
        trained(folder, **{"frames": "multi", **options})
    assert message in str(error.value)


def test_a_contradiction_is_found_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="num_cameras is 0"):
        load_capture(CaptureOptions(tmp_path / "nowhere", num_cameras=0))
    Selection(timesteps=(3,), num_cameras=2).check("multi")
