from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs

from sage_ns.capture.images import load_image
from sage_ns.capture.record import CaptureRecord
from sage_ns.errors import CaptureError
from sage_ns.plugin.dataparser import FlameCaptureDataParserConfig
from sage_ns.plugin.snapshot import SnapshotDataParserConfig, load_thumbnail, save_snapshot, snapshot_path
from tests.tiny_capture import write_tiny_capture

SPLITS = ("train", "val", "test")


@pytest.fixture
def original(tmp_path: Path) -> dict[str, DataparserOutputs]:
    capture = write_tiny_capture(tmp_path / "capture", width=24, height=32)
    parser = FlameCaptureDataParserConfig(data=capture, downscale_factor=2).setup()
    return {split: parser.get_dataparser_outputs(split) for split in SPLITS}


@pytest.fixture
def path(tmp_path: Path, original: dict[str, DataparserOutputs]) -> Path:
    pictures = [load_image(name)[0].float() / 255 for name in original["train"].image_filenames]
    path = snapshot_path(tmp_path / "runs" / "new")
    save_snapshot(path, original, pictures)
    return path


def kept_record(path: Path) -> CaptureRecord:
    return CaptureRecord.of(SnapshotDataParserConfig(data=path).setup().get_dataparser_outputs("train").metadata)


def test_snapshot_gives_what_the_capture_gave(path: Path, original: dict[str, DataparserOutputs]) -> None:
    parser = SnapshotDataParserConfig(data=path).setup()
    assert parser.includes_time
    for split in SPLITS:
        kept, given = parser.get_dataparser_outputs(split), original[split]
        assert [str(name) for name in kept.image_filenames] == [str(name) for name in given.image_filenames]
        for name in ("camera_to_worlds", "fx", "fy", "cx", "cy", "width", "height", "times"):
            assert torch.equal(getattr(kept.cameras, name), getattr(given.cameras, name))
        assert kept.cameras.metadata is not None and given.cameras.metadata is not None
        for name in ("timestep", "camera_index", "motion"):
            assert torch.equal(kept.cameras.metadata[name], given.cameras.metadata[name])
        assert torch.equal(kept.scene_box.aabb, given.scene_box.aabb)
        record, wanted = CaptureRecord.of(kept.metadata), CaptureRecord.of(given.metadata)
        for name in ("timesteps", "train_timesteps", "test_timesteps", "train_camera_centers", "background"):
            assert torch.equal(getattr(record, name), getattr(wanted, name))
        for name in ("canonical_row", "canonical_timestep", "downscale_factor", "split_source"):
            assert getattr(record, name) == getattr(wanted, name)


def test_snapshot_keeps_rig_identity_and_motion(path: Path, original: dict[str, DataparserOutputs]) -> None:
    kept, given = kept_record(path), CaptureRecord.of(original["train"].metadata)
    model = kept.head_model
    assert model.name == given.head_model.name
    for name, value in given.head_model.state().items():
        assert torch.equal(model.state()[name], value), name
    params, wanted = kept.flame_params, given.flame_params
    assert torch.equal(params.motion_vector(), wanted.motion_vector())
    assert torch.equal(params.shape, wanted.shape)
    assert params.static_offset is not None and wanted.static_offset is not None
    assert torch.equal(params.static_offset, wanted.static_offset)


def test_names_and_shapes_in_the_file_stay(path: Path) -> None:
    """Runs of earlier versions have these; a change of names would lose their captures."""
    with np.load(path, allow_pickle=False) as stored:
        shapes = {name: array.shape for name, array in dict(stored).items() if "/" not in name}
    assert shapes == {
        **{"motion": (4, 28), "shape": (300,), "static_offset": (54, 3), "thumbnails": (2, 64, 128, 3)},
        **{"timesteps": (4,), "train_timesteps": (1,), "test_timesteps": (1,), "train_camera_centers": (2, 3)},
        **{"background": (3,), "canonical_row": (), "canonical_timestep": (), "downscale_factor": ()},
        "provenance": (),  # runs of before may lack it
    }


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("canonical_row", None, "'canonical_row': found nothing"),
        ("canonical_row", np.array(4), "'canonical_row': found 4"),
        ("motion", np.zeros((4, 17), np.float32), r"motion vector: found shape \[4, 17\]"),
        ("motion", np.full((4, 28), np.nan, np.float32), "'motion': found 112 non-finite"),
        ("motion", np.full((4, 28), 1e30, np.float32), r"'motion': found numbers up to 1e\+30, expected numbers in"),
        ("train_camera_centers", np.full((2, 3), 1e30), "'train_camera_centers': found numbers up to"),
        ("train/metadata/motion", np.full((2, 28), -1e9), "'train/metadata/motion': found numbers up to"),
        ("train/scene_box", np.array([[-1e30] * 3, [1e30] * 3]), "'train/scene_box': found numbers up to"),
        ("canonical_timestep", np.array(7), "'canonical_timestep': found 7"),
        ("train_timesteps", np.array([[0]]), "'train_timesteps': found shape"),
        ("train/fx", None, "'train/fx': found nothing"),
        ("train/fx", np.zeros((2, 1), np.float32), "'train/fx': found values in 0..0"),
        ("train/fy", np.ones((1, 1), np.float32), r"'train/fy': found shape \[1, 1\]"),
        ("train/width", np.full((2, 1), 2**40), "'train/width'"),
        ("train/times", np.full((2, 1), 2.0, np.float32), "'train/times'"),
        ("train/camera_to_worlds", np.full((2, 3, 4), np.inf, np.float32), "'train/camera_to_worlds'"),
        ("train/camera_to_worlds", np.zeros((2, 3, 4), np.float32), "'train/camera_to_worlds' has no rotation"),
        ("train/metadata/timestep", np.full((2, 1), 77), "'train/metadata/timestep': found .77"),
        ("train/metadata/motion", np.zeros((2, 5), np.float32), "'train/metadata/motion': found shape"),
        ("train/image_filenames", np.array([1, 2]), "'train/image_filenames': found type int64"),
        ("train/split_source", np.array(3), "'train/split_source': found type"),
        ("train/scene_box", np.zeros((2, 3), np.float32), "'train/scene_box'"),
        ("thumbnails", np.zeros((1, 64, 128, 3), np.uint8), "'thumbnails': found shape"),
        ("thumbnails", np.zeros((2, 64, 128, 3), np.float32), "'thumbnails': found type float32"),
    ],
)
def test_damaged_snapshot_is_named(path: Path, name: str, value: np.ndarray | None, complaint: str) -> None:
    with np.load(path, allow_pickle=False) as stored:
        arrays = {**dict(stored), name: value}
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(CaptureError, match=rf"capture\.npz: .*{complaint}"):
        kept_record(path)


def test_snapshot_has_no_pickle_and_no_leftovers(path: Path) -> None:
    with np.load(path, allow_pickle=False) as stored:
        assert all(array.dtype != object for array in dict(stored).values())
    assert {file.name for file in path.parent.iterdir()} == {"capture.npz", "head_model.npz"}


def test_thumbnails_show_the_training_pictures(path: Path, original: dict[str, DataparserOutputs]) -> None:
    thumbnails = kept_record(path).thumbnails
    assert thumbnails is not None
    for name in original["train"].image_filenames:
        shown = load_thumbnail(thumbnails, name, (24, 32))
        assert shown.shape == (32, 24, 3) and shown.dtype == torch.uint8
        assert (shown.float() - load_image(name)[0].float()).abs().mean() < 8
    with pytest.raises(CaptureError, match="its capture is gone"):
        load_thumbnail(thumbnails, original["test"].image_filenames[0], (24, 32))


@pytest.mark.parametrize(("height", "width"), [(30, 30), (20, 90), (200, 7)])
def test_pictures_of_any_shape_have_a_thumbnail(
    tmp_path: Path, original: dict[str, DataparserOutputs], height: int, width: int
) -> None:
    path = tmp_path / "run" / "capture.npz"
    names = original["train"].image_filenames
    save_snapshot(path, original, [torch.full((height, width, 3), 0.25) for _ in names])
    thumbnails = kept_record(path).thumbnails
    assert thumbnails is not None
    shown = load_thumbnail(thumbnails, names[0], (width, height))
    assert shown.shape == (height, width, 3)
    assert (shown.float() - 64).abs().max() <= 1


def test_broken_snapshot_is_named(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CaptureError, match=r"capture\.npz: not a readable npz file"):
        SnapshotDataParserConfig(data=path).setup().get_dataparser_outputs("train")
