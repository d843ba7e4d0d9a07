from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs

from sage_ns.capture.flame_table import expression_magnitude
from sage_ns.capture.record import CaptureRecord
from sage_ns.capture.splits import MAX_BORROWED_VAL
from sage_ns.errors import FlameParamsError
from sage_ns.plugin.cameras import pinhole_camera
from sage_ns.plugin.dataparser import FlameCaptureDataParserConfig
from sage_ns.rig import FlameParams, load_head_model, pose_vertices
from tests.tiny import tiny_head_model
from tests.tiny_capture import edit_frames, tiny_motion, write_tiny_capture, write_transforms


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_capture(tmp_path / "capture")


def parse(folder: Path, split: str = "train", **options) -> DataparserOutputs:
    return FlameCaptureDataParserConfig(data=folder, **options).setup().get_dataparser_outputs(split)


def recorded(folder: Path, split: str = "train", **options) -> CaptureRecord:
    return CaptureRecord.of(parse(folder, split, **options).metadata)


def moments(outputs: DataparserOutputs) -> list[tuple[int, int]]:
    metadata = outputs.cameras.metadata
    assert metadata is not None
    return list(zip(metadata["timestep"][:, 0].tolist(), metadata["camera_index"][:, 0].tolist(), strict=True))


def rewrite_params(folder: Path, timestep: int, scale: float) -> None:
    """Gives a timestep a stronger or weaker expression."""
    path = folder / "flame_param" / f"{timestep:05d}.npz"
    params = FlameParams.load(path)
    params.expr.fill_(scale)
    params.save_vhap(path)


def test_splits_of_one_timestep(folder: Path) -> None:
    assert moments(parse(folder, "train")) == [(0, 0), (0, 1)]
    assert moments(parse(folder, "val")) == [(0, 2)]
    assert moments(parse(folder, "test")) == [(3, 0), (3, 1), (3, 2)]


def test_splits_of_all_timesteps(folder: Path) -> None:
    assert len(moments(parse(folder, "train", frames="multi"))) == 6
    assert moments(parse(folder, "val", frames="multi")) == [(0, 2), (1, 2), (2, 2)]
    assert moments(parse(folder, "test", frames="multi")) == [(3, 0), (3, 1), (3, 2)]


def test_canonical_timestep_is_the_most_neutral_one(folder: Path) -> None:
    rewrite_params(folder, 0, scale=3.0)
    record = recorded(folder)
    assert (record.canonical_timestep, record.canonical_row) == (1, 1)
    assert moments(parse(folder)) == [(1, 0), (1, 1)]


def test_canonical_timestep_has_the_most_cameras(folder: Path) -> None:
    path = folder / "transforms_train.json"
    frames = json.loads(path.read_text())["frames"]
    write_transforms(path, [frame for frame in frames if (frame["timestep_index"], frame["camera_index"]) != (0, 1)])
    assert recorded(folder, frames="multi").canonical_timestep == 1


def test_canonical_timestep_on_demand(folder: Path) -> None:
    outputs = parse(folder, canonical_timestep=2)
    assert moments(outputs) == [(2, 0), (2, 1)]
    assert CaptureRecord.of(outputs.metadata).canonical_row == 2
    assert moments(parse(folder, "val", canonical_timestep=2)) == [(2, 2)]


def test_expression_magnitude_ignores_pose_and_gaze() -> None:
    model = tiny_head_model()
    motion = tiny_motion(model, 4)
    motion.eyes_pose.fill_(0.3)
    motion.neck_pose.fill_(0.2)
    magnitude = expression_magnitude(motion, model, chunk=3)
    assert magnitude[0] == pytest.approx(0, abs=1e-7)
    assert (magnitude.diff() > 0).all()


def test_camera_metadata_says_the_moment(folder: Path) -> None:
    outputs = parse(folder, "test")
    cameras, params = outputs.cameras, CaptureRecord.of(outputs.metadata).flame_params
    assert cameras.times is not None and cameras.metadata is not None
    torch.testing.assert_close(cameras.times, torch.ones(3, 1))
    torch.testing.assert_close(cameras.metadata["motion"], params[3].motion_vector().expand(3, -1))
    assert cameras.metadata["timestep"].dtype == cameras.metadata["camera_index"].dtype == torch.int64
    single = cameras[1:2]
    assert single.metadata is not None and single.metadata["motion"].shape == (1, 28)


def test_times_address_dense_rows_when_timesteps_have_gaps(folder: Path) -> None:
    for name in folder.glob("transforms*.json"):
        edit_frames(name, timestep_index=lambda timestep: 10 + timestep**2)
    outputs = parse(folder, "train", frames="multi")
    record = CaptureRecord.of(outputs.metadata)
    assert record.timesteps.tolist() == [10, 11, 14, 19]
    assert outputs.cameras.times is not None
    torch.testing.assert_close(outputs.cameras.times[:, 0], torch.tensor([0, 0, 1, 1, 2, 2]) / 3)
    assert record.train_timesteps.tolist() == [10, 11, 14]
    assert record.test_timesteps.tolist() == [19]


def test_world_stays_metric(folder: Path) -> None:
    outputs = parse(folder)
    record = CaptureRecord.of(outputs.metadata)
    entry = json.loads((folder / "transforms_train.json").read_text())["frames"][1]
    torch.testing.assert_close(outputs.cameras.camera_to_worlds[1], torch.tensor(entry["transform_matrix"])[:3])
    torch.testing.assert_close(record.train_camera_centers, outputs.cameras.camera_to_worlds[:, :3, 3])
    assert outputs.dataparser_scale == 1.0
    torch.testing.assert_close(outputs.dataparser_transform, torch.eye(4)[:3])
    vertices = pose_vertices(record.head_model, record.flame_params[0])[0]
    low, high = outputs.scene_box.aabb
    assert (vertices > low).all() and (vertices < high).all()


def test_downscaling_divides_the_intrinsics_exactly(folder: Path) -> None:
    full, small = parse(folder).cameras, parse(folder, downscale_factor=3).cameras
    assert (small.width[0].item(), small.height[0].item()) == (10, 13)
    for name in ("fx", "fy", "cx", "cy"):
        torch.testing.assert_close(getattr(small, name) * 3, getattr(full, name))
    assert recorded(folder, downscale_factor=3).downscale_factor == 3


def test_masks_are_optional_and_can_be_switched_off(folder: Path) -> None:
    assert recorded(folder).mask_filenames[0] == folder / "fg_masks" / "00000_00.png"
    (folder / "fg_masks" / "00000_00.png").unlink()
    assert recorded(folder, use_masks=False).mask_filenames == (None, None)


@pytest.mark.parametrize("cy_origin", ["top", "bottom"])
@pytest.mark.parametrize("downscale_factor", [1, 2])
def test_a_point_projects_to_the_pixel_where_it_was_drawn(folder: Path, cy_origin, downscale_factor: int) -> None:
    """JSON -> nerfstudio's Cameras -> the rasteriser's camera; the drawn disc marks the head's centre."""
    shift = 6.0
    stated = 20 + (shift if cy_origin == "top" else -shift)
    for name in folder.glob("transforms*.json"):
        edit_frames(name, cy=stated, cx=lambda cx: cx + 2)
    outputs = parse(folder, "test", cy_origin=cy_origin, downscale_factor=downscale_factor)
    record = CaptureRecord.of(outputs.metadata)
    params = record.flame_params
    point = pose_vertices(record.head_model, params[3])[0].mean(0)
    for index in range(len(outputs.cameras)):
        camera = pinhole_camera(outputs.cameras[index])
        x, y, z = camera.intrinsics @ (camera.T_camera_world[:3] @ torch.cat([point, torch.ones(1)]))
        mask = record.mask_filenames[index]
        assert mask is not None
        row, column = disc_center(mask)
        expected = torch.tensor([column + 2, row + shift]) / downscale_factor
        torch.testing.assert_close(torch.stack([x / z, y / z]), expected, atol=0.1, rtol=0)


def test_an_off_centre_principal_point_is_questioned_unless_the_file_says_where_it_is_measured_from(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in folder.glob("transforms*.json"):
        edit_frames(name, cy=23.0)
    parse(folder)
    assert "try --cy-origin top" in " ".join(capsys.readouterr().out.split())
    for name in folder.glob("transforms*.json"):
        name.write_text(json.dumps({**json.loads(name.read_text()), "cy_origin": "top"}))
    parse(folder)
    assert "--cy-origin" not in capsys.readouterr().out


def disc_center(path: Path) -> tuple[float, float]:
    from sage_ns.capture.images import load_image

    alpha = load_image(path)[0][..., 0].float()
    rows, columns = torch.meshgrid(*(torch.arange(size) + 0.5 for size in alpha.shape), indexing="ij")
    return float((alpha * rows).sum() / alpha.sum()), float((alpha * columns).sum() / alpha.sum())


def test_capture_without_val_and_test_borrows_and_says_so(folder: Path) -> None:
    write_transforms(folder / "transforms_val.json", [])
    outputs = parse(folder, "val")
    assert moments(outputs) == [(3, 0), (3, 1), (3, 2)]
    assert CaptureRecord.of(outputs.metadata).split_source == "test"
    (folder / "transforms_test.json").unlink()
    assert recorded(folder, "val").split_source == "train"
    assert moments(parse(folder, "test")) == [(0, 0), (0, 1)]
    assert recorded(folder).test_timesteps.tolist() == []


def test_one_identity_for_all_timesteps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "flame_param" / "00003.npz"
    other = FlameParams.load(path)
    other.shape[0] = 1.0
    other.save_vhap(path)
    assert recorded(folder).flame_params.shape[0] == 0.0
    assert "1 timesteps were tracked with another head shape" in capsys.readouterr().out
    assert recorded(folder, "test").flame_params.num_timesteps == 4


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("jaw_pose", 14.0, "these look like degrees: convert to radians"),
        ("translation", 1e30, "expected at most 100 in metres"),
        ("expr", 1e30, "expected at most 100 in coefficients"),
        ("shape", 1e30, "expected at most 100 in coefficients"),
    ],
)
def test_parameters_that_no_head_can_have_are_refused(folder: Path, name: str, value: float, named: str) -> None:
    path = folder / "flame_param" / "00002.npz"
    params = FlameParams.load(path)
    getattr(params, name)[..., 0] = value
    params.save_vhap(path)
    with pytest.raises(FlameParamsError) as error:
        parse(folder)
    assert f"{path}: timestep 2: '{name}': found" in str(error.value) and named in str(error.value)


def test_command_line_options_are_understood() -> None:
    import tyro

    arguments = ["--frames", "multi", "--canonical-timestep", "3", "--head-model", "x.npz", "--use-masks", "False"]
    config = tyro.cli(FlameCaptureDataParserConfig, args=arguments, config=(tyro.conf.FlagConversionOff,))
    assert (config.frames, config.canonical_timestep, config.head_model) == ("multi", 3, Path("x.npz"))
    assert (config.use_masks, config.downscale_factor, config.cy_origin) == (False, 1, "auto")


def test_selected_moments_and_cameras(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"frames": "multi", "num_timesteps": 2, "cameras": (1,)}
    assert moments(parse(folder, **options)) == [(0, 1), (2, 1)]
    assert "Selected for training: timesteps 0, 2; cameras 1." in capsys.readouterr().out
    assert moments(parse(folder, "test", **options)) == [(3, 0), (3, 1), (3, 2)]
    record = recorded(folder, **options)
    assert record.train_timesteps.tolist() == [0, 2] and record.train_camera_centers.shape == (2, 3)


def test_selections_on_the_command_line() -> None:
    import tyro

    arguments = ["--timesteps", "0", "3", "--num-cameras", "4"]
    config = tyro.cli(FlameCaptureDataParserConfig, args=arguments, config=(tyro.conf.FlagConversionOff,))
    assert (config.timesteps, config.num_timesteps, config.cameras, config.num_cameras) == ((0, 3), None, None, 4)


def test_parameters_without_static_offset(folder: Path) -> None:
    for path in (folder / "flame_param").glob("*.npz"):
        params = FlameParams.load(path)
        FlameParams(**{**vars(params), "static_offset": None}).save_vhap(path)
    assert recorded(folder).flame_params.static_offset is None


def test_metadata_survives_nerfstudios_dataset(folder: Path) -> None:
    from nerfstudio.data.datasets.base_dataset import InputDataset

    dataset = InputDataset(parse(folder))
    record = CaptureRecord.of(dataset.metadata)
    assert record.flame_params.num_timesteps == 4
    assert record.head_model.num_vertices == 54
    assert dataset[0]["image"].shape == (40, 32, 3)


def test_nerfstudio_discovers_the_dataparser() -> None:
    """In its own process and before anything else, as ns-train does: a broken plugin would break all methods."""
    code = (
        "import sys, sage_ns.capture\n"
        "assert 'nerfstudio' not in sys.modules\n"
        "from nerfstudio.plugins.registry_dataparser import discover_dataparsers\n"
        "configs, descriptions = discover_dataparsers()\n"
        "assert type(configs['flame-capture']).__name__ == 'FlameCaptureDataParserConfig'\n"
        "assert descriptions['flame-capture']\n"
        "assert not [name for name in sys.modules if 'datamanagers' in name]\n"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("name", "frames", "counts", "num_rows", "canonical"),
    [
        ("fk01", "single", (15, 1, 80), 41, 0),
        ("fk01", "multi", (175, 1, 80), 41, 0),
        ("fk01_mono", "single", (1, MAX_BORROWED_VAL, 60), 80, 0),
        ("fk01_mono", "multi", (60, MAX_BORROWED_VAL, 60), 80, 0),
        ("fk01_mono", "rotation", (60, MAX_BORROWED_VAL, 60), 80, 0),
        ("fk01_oneshot", "single", (1, MAX_BORROWED_VAL, 60), 21, 0),
        ("fk01_oneshot", "multi", (1, MAX_BORROWED_VAL, 60), 21, 0),
    ],
)
def test_real_captures(shared: Path, name: str, frames, counts, num_rows: int, canonical: int) -> None:
    config = FlameCaptureDataParserConfig(
        data=shared / "captures" / name, head_model=shared / "facekit" / "head_model.pkl", frames=frames
    )
    parser = config.setup()
    outputs = {split: parser.get_dataparser_outputs(split) for split in ("train", "val", "test")}
    assert tuple(len(split.image_filenames) for split in outputs.values()) == counts
    for split in outputs.values():
        record = CaptureRecord.of(split.metadata)
        assert len(record.timesteps) == record.flame_params.num_timesteps == num_rows
        assert record.canonical_timestep == canonical
        assert (split.cameras.width == 550).all() and (split.cameras.height == 802).all()
        assert all(path.is_absolute() and path.is_file() for path in split.image_filenames)
    assert outputs["train"].cameras.metadata is not None
    assert set(CaptureRecord.of(outputs["train"].metadata).train_timesteps.tolist()).isdisjoint(
        CaptureRecord.of(outputs["test"].metadata).test_timesteps.tolist()
    )


def test_real_head_projects_into_its_mask(shared: Path) -> None:
    """The whole chain on real-style data: JSON, head model, parameters, cameras, mask."""
    from sage_ns.capture.images import load_image

    model = load_head_model(shared / "facekit" / "head_model.pkl")
    outputs = parse(shared / "captures" / "fk01", head_model=shared / "facekit" / "head_model.pkl", downscale_factor=2)
    record = CaptureRecord.of(outputs.metadata)
    vertices = pose_vertices(model, record.flame_params[record.canonical_row])[0]
    face = vertices[model.regions.vertices("face")]
    for index in (0, 7, 14):
        camera = pinhole_camera(outputs.cameras[index])
        points = (face @ camera.T_camera_world[:3, :3].T + camera.T_camera_world[:3, 3]) @ camera.intrinsics.T
        columns, rows = (points[:, :2] / points[:, 2:]).long().unbind(-1)
        _, mask = load_image(outputs.image_filenames[index], record.mask_filenames[index], downscale_factor=2)
        assert mask is not None and mask.shape[:2] == (camera.height, camera.width)
        # The capture was tracked to about 2 mm, which is 2 pixels here.
        grown = torch.nn.functional.max_pool2d(mask[None, ..., 0].float(), kernel_size=5, stride=1, padding=2)[0]
        assert (grown[rows, columns] > 127).all()
