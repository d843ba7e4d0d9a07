"""GaussianAvatars' files: its properties and parameters; placed by its formulas, read back, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
from torch import Tensor

from sage_ns.avatar.look import Look
from sage_ns.errors import FlameParamsError
from sage_ns.exchange import gaussian_avatars, gaussian_avatars_import
from sage_ns.exchange.gaussian_avatars import save_gaussian_avatar
from sage_ns.exchange.gaussian_avatars_import import load_gaussian_avatar, read_bound_splats
from sage_ns.exchange.ply import SplatFileError, read_ply, write_ply
from sage_ns.geometry.rotations import quaternion_to_matrix
from sage_ns.rig import FlameParams, pose_vertices
from tests.exchange.bound_avatars import psnr, small_avatar, some_motion
from tests.tiny import tiny_head_model

HEAD = tiny_head_model()
AVATAR = small_avatar(HEAD, sh_degree=1)
# As GaussianAvatars draws.
PLAIN = Look(supersampling=1, correction=False, wrinkles=0.0, dark_interior=False)
REST = [f"f_rest_{index}" for index in range(45)]
NAMES = [
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *REST, "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3", "binding_0"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_gaussian_avatar(AVATAR, HEAD, AVATAR.motion.motion, tmp_path / "ga")
    return tmp_path / "ga"


@pytest.fixture
def properties(folder: Path) -> dict[str, np.ndarray]:
    return read_ply(folder / "point_cloud.ply")


# ---- what is written ------------------------------------------------------------------------------------------------


def test_properties_are_those_of_gaussian_avatars(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["flame_param.npz", "point_cloud.ply"]
    file = plyfile.PlyData.read(folder / "point_cloud.ply")
    assert [element.name for element in file.elements] == ["vertex"] and file.byte_order == "<" and not file.text
    assert [(p.name, p.val_dtype) for p in file["vertex"].properties] == [(name, "f4") for name in NAMES]
    vertex, surfels = file["vertex"], AVATAR.surfels
    np.testing.assert_array_equal(vertex["binding_0"].astype(int), surfels.triangle.numpy())
    np.testing.assert_array_equal(vertex["opacity"], surfels.opacity_logits.detach().numpy())
    np.testing.assert_array_equal(vertex["f_rest_17"], surfels.sh_rest[:, 2, 1].detach().numpy())
    np.testing.assert_array_equal(vertex["f_rest_18"], 0)
    np.testing.assert_array_equal(vertex["nz"], 0)


def test_parameters_are_what_its_viewer_asks_for(folder: Path) -> None:
    arrays = dict(np.load(folder / "flame_param.npz"))
    num_rows, num_vertices = 1 + len(AVATAR.motion.motion), HEAD.num_vertices
    assert {name: array.shape for name, array in arrays.items()} == {
        **{"shape": (300,), "expr": (num_rows, 100), "rotation": (num_rows, 3), "neck_pose": (num_rows, 3)},
        **{"jaw_pose": (num_rows, 3), "eyes_pose": (num_rows, 6), "translation": (num_rows, 3)},
        **{"static_offset": (1, num_vertices, 3), "dynamic_offset": (num_rows, num_vertices, 3)},
    }
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert not arrays["dynamic_offset"].any() and not arrays["shape"].any()


def test_the_offset_alone_poses_the_original_head_model_as_the_avatar(folder: Path) -> None:
    params = FlameParams.load(folder / "flame_param.npz")
    posed = pose_vertices(HEAD, params)
    motion = torch.cat([AVATAR.motion.canonical()[None], AVATAR.motion.motion])
    for vertices, row in zip(posed, motion, strict=True):
        torch.testing.assert_close(vertices, AVATAR.rig.vertices(row), atol=2e-7, rtol=0)
    assert (posed[1] - pose_vertices(HEAD, replace(params, static_offset=None))[1]).norm(dim=-1).max() > 0.002


def test_its_formulas_put_the_splats_where_the_avatar_has_them(folder: Path, properties: dict[str, np.ndarray]) -> None:
    """GaussianAvatars' frames in numpy: columns [base, normal, away from the third vertex], scale the mean of two."""
    row = 3
    v0, v1, v2 = (
        pose_vertices(HEAD, FlameParams.load(folder / "flame_param.npz"))[row]
        .double()
        .numpy()[HEAD.triangles[properties["binding_0"].astype(int)].numpy()]
        .swapaxes(0, 1)
    )

    def unit(vectors: np.ndarray) -> np.ndarray:
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

    base, normal = unit(v1 - v0), unit(np.cross(v1 - v0, v2 - v0))
    away = -unit(np.cross(normal, base))
    scale = (np.linalg.norm(v1 - v0, axis=-1) + np.abs((away * (v2 - v0)).sum(axis=-1))) / 2
    rotation = np.stack([base, normal, away], axis=-1)
    local = np.stack([properties[name] for name in "xyz"], axis=-1)
    means = scale[:, None] * np.einsum("nij,nj->ni", rotation, local) + (v0 + v1 + v2) / 3
    sizes = scale[:, None] * np.exp(np.stack([properties[f"scale_{i}"] for i in range(3)], axis=-1))
    quaternions = torch.from_numpy(np.stack([properties[f"rot_{i}"] for i in range(4)], axis=-1).copy())
    axes = rotation @ quaternion_to_matrix(quaternions).double().numpy()

    with torch.no_grad():
        placed = AVATAR.place(torch.zeros(3), AVATAR.motion.motion[row - 1], PLAIN)
    np.testing.assert_allclose(means, placed.means.numpy(), atol=1e-6)
    np.testing.assert_allclose(sizes[:, :2], placed.scales.numpy(), rtol=2e-5)
    np.testing.assert_allclose(axes, quaternion_to_matrix(placed.quaternions).numpy(), atol=2e-5)


def test_flame_without_teeth_gets_an_offset_with_teeth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian_avatars, "_FLAME_NUM_VERTICES", HEAD.num_vertices)
    save_gaussian_avatar(AVATAR, HEAD, AVATAR.motion.motion, tmp_path)
    offset = np.load(tmp_path / "flame_param.npz")["static_offset"]
    assert offset.shape == (1, HEAD.num_vertices + 120, 3)
    assert not offset[:, HEAD.num_vertices :].any()


def test_another_head_model_than_the_avatars_is_refused(tmp_path: Path) -> None:
    other = replace(HEAD, skinning_weights=HEAD.skinning_weights.roll(1, dims=0))
    with pytest.raises(SplatFileError, match="'skinning_weights' is not that of 'tiny'"):
        save_gaussian_avatar(AVATAR, other, AVATAR.motion.motion, tmp_path / "ga")
    with pytest.raises(SplatFileError, match="'expression_basis'"):
        save_gaussian_avatar(AVATAR, tiny_head_model(num_expression=12), AVATAR.motion.motion, tmp_path / "ga")
    assert not (tmp_path / "ga").exists()


# ---- what is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [PLAIN, replace(PLAIN, correction=True, wrinkles=0.5)], ids=["plain", "corrected"])
def test_a_round_trip_keeps_the_picture(folder: Path, look: Look) -> None:
    imported = load_gaussian_avatar(folder / "point_cloud.ply", HEAD, folder / "flame_param.npz")
    assert imported.notes == () and imported.avatar.look == replace(PLAIN, mouth=False, supersampling=2)
    assert imported.avatar.surfels.sh_rest.shape[1] == 3, "degrees of zeros are left out"
    camera = AVATAR.front_camera(64, 80)
    other = AVATAR.fit(some_motion(HEAD, 2))
    for motion in (AVATAR.motion.canonical(), AVATAR.motion.motion[3], other[1]):
        original = AVATAR.draw(camera, motion, look).composite(torch.ones(3))
        again = imported.avatar.draw(camera, motion, look).composite(torch.ones(3))
        assert original.std() > 0.1
        assert psnr(again, original) > 60
    torch.testing.assert_close(imported.avatar.motion.canonical(), AVATAR.motion.canonical(), atol=0, rtol=0)


@pytest.mark.parametrize("shortest", [0, 1, 2])
def test_the_shortest_axis_becomes_the_normal(tmp_path: Path, folder: Path, shortest: int) -> None:
    properties = read_ply(folder / "point_cloud.ply")
    sizes = [0.5, 1.5, 0.9]
    sizes[shortest] = 0.02
    for axis, size in enumerate(sizes):
        properties[f"scale_{axis}"] = np.full_like(properties["x"], np.log(size))
    write_ply(tmp_path / "turned.ply", properties)
    surfels = read_bound_splats(tmp_path / "turned.ply", HEAD).surfels

    def covariance(quaternions: Tensor, scales: Tensor) -> Tensor:
        axes = quaternion_to_matrix(quaternions) * scales[..., None, :]
        return axes @ axes.mT

    sizes[shortest] = 0.0
    rotations = torch.from_numpy(np.stack([properties[f"rot_{i}"] for i in range(4)], axis=-1))
    scales = torch.nn.functional.pad(surfels.log_scales.exp(), (0, 1))
    torch.testing.assert_close(
        covariance(surfels.quaternions, scales), covariance(rotations, torch.tensor(sizes)), atol=1e-5, rtol=0
    )
    axes = quaternion_to_matrix(rotations)
    turned = quaternion_to_matrix(surfels.quaternions)
    torch.testing.assert_close(turned[:, :, 2], axes[:, :, shortest], atol=1e-6, rtol=0)


def test_fat_splats_are_read_with_a_note(tmp_path: Path, properties: dict[str, np.ndarray]) -> None:
    fat = np.minimum(properties["scale_0"], properties["scale_1"]) + np.float32(np.log(0.4))
    write_ply(tmp_path / "fat.ply", {**properties, "scale_2": fat})
    assert "40% of the second" in read_bound_splats(tmp_path / "fat.ply", HEAD).notes[0]


def test_splats_on_teeth_that_the_head_model_lacks_are_left_out(
    tmp_path: Path, properties: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    binding = properties["binding_0"].copy()
    binding[[3, 7]] = HEAD.num_triangles + 5
    write_ply(tmp_path / "teeth.ply", {**properties, "binding_0": binding})
    with pytest.raises(SplatFileError, match=r"teeth\.ply: 'binding_0': found values in 0\.\.95, expected .*0\.\.89"):
        read_bound_splats(tmp_path / "teeth.ply", HEAD)
    monkeypatch.setattr(gaussian_avatars_import, "FLAME_NUM_TRIANGLES", HEAD.num_triangles)
    bound = read_bound_splats(tmp_path / "teeth.ply", HEAD)
    assert "2 splats are bound to the teeth" in bound.notes[0]
    kept = np.delete(properties["x"], [3, 7])
    np.testing.assert_array_equal(bound.surfels.means[:, 0].detach().numpy(), kept)


@pytest.mark.parametrize("num_rest", [0, 9, 24])
def test_lower_degrees_are_read(tmp_path: Path, properties: dict[str, np.ndarray], num_rest: int) -> None:
    kept = {name: values for name, values in properties.items() if name not in REST[num_rest:]}
    for name in REST[:num_rest]:
        kept[name] = np.full_like(properties["x"], int(name.removeprefix("f_rest_")))
    write_ply(tmp_path / "low.ply", kept)
    rest = read_bound_splats(tmp_path / "low.ply", HEAD).surfels.sh_rest
    assert rest.shape[1:] == (num_rest // 3, 3)
    if num_rest:
        torch.testing.assert_close(rest[0], torch.arange(num_rest).reshape(3, -1).T.float())


def with_nan(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[11] = np.nan
    return values


def test_other_files_are_refused_by_file_and_property(tmp_path: Path, properties: dict[str, np.ndarray]) -> None:
    path = tmp_path / "bad.ply"

    def refused(changed: dict[str, np.ndarray | None], property_name: str, message: str) -> None:
        kept = {**properties, **changed}
        write_ply(path, {name: values for name, values in kept.items() if values is not None})
        with pytest.raises(SplatFileError, match=rf"bad\.ply: '{property_name}': .*{message}"):
            read_bound_splats(path, HEAD)

    refused({"binding_0": None}, "binding_0", "not bound to a rig")
    refused({"rot_3": None}, "rot_3", "found nothing")
    refused({"scale_2": None}, "scale_2", "found nothing")
    refused({"f_rest_44": None}, r"f_rest_\*", "44 properties")
    refused({"blend_weight_0": properties["x"]}, "blend_weight_0", "unknown")
    refused({"opacity": with_nan(properties["opacity"])}, "opacity", r"non-finite .* \(11,\)")
    refused({"binding_0": with_nan(properties["binding_0"])}, "binding_0", "non-finite")
    refused({"binding_0": properties["binding_0"] - 1}, "binding_0", r"values in -1\.\.")
    refused({"binding_0": properties["binding_0"] + 0.5}, "binding_0", "integers")
    refused({name: values[:0] for name, values in properties.items()}, "x", "no splats")


def test_parameters_of_another_head_model_are_refused_with_their_file(folder: Path, tmp_path: Path) -> None:
    replace(some_motion(HEAD, 2), static_offset=torch.zeros(99, 3)).save_vhap(tmp_path / "other.npz")
    with pytest.raises(FlameParamsError, match=r"other\.npz: 'static_offset': found 99 vertices"):
        load_gaussian_avatar(folder / "point_cloud.ply", HEAD, tmp_path / "other.npz")


@pytest.mark.parametrize("field", ["rotation", "neck_pose", "jaw_pose", "eyes_pose", "translation", "shape"])
def test_parameters_that_no_head_has_are_refused_with_their_file(field: str, folder: Path, tmp_path: Path) -> None:
    motion = some_motion(HEAD, 2)
    values = getattr(motion, field).clone()
    values.view(-1)[0] = 1e30
    replace(motion, **{field: values}).save_vhap(tmp_path / "other.npz")
    with pytest.raises(FlameParamsError, match=rf"other\.npz.*'{field}': found 1e\+30"):
        load_gaussian_avatar(folder / "point_cloud.ply", HEAD, tmp_path / "other.npz")


def test_without_parameters_it_is_the_mean_head_at_rest(folder: Path) -> None:
    avatar = load_gaussian_avatar(folder / "point_cloud.ply", HEAD, None).avatar
    torch.testing.assert_close(avatar.rig.vertices(avatar.motion.canonical()), HEAD.v_template, atol=1e-7, rtol=0)
