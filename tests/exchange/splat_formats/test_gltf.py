"""Splats as glTF: requirements of the extension's Release Candidate, read back by pygltflib and trimesh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pytest
import torch
import trimesh

from sage_ns.exchange.splat_formats import writer_of
from sage_ns.exchange.splats import Splats, splats_of
from tests.exchange.bound_avatars import small_avatar
from tests.tiny import tiny_head_model

PREFIX = "KHR_gaussian_splatting:"
SIZES = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


@pytest.fixture(scope="module")
def splats() -> Splats:
    avatar = small_avatar(tiny_head_model(), sh_degree=2)
    return splats_of(avatar, avatar.motion.motion[2])


@pytest.fixture(scope="module")
def path(splats: Splats, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gltf") / "splats.glb"
    writer_of("gltf").write(path, splats)
    return path


def read(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """The document, and its attributes by name."""
    file = pygltflib.GLTF2().load(str(path))
    assert file is not None
    blob = file.binary_blob()
    assert isinstance(blob, bytes)
    arrays = {}
    for name, index in vars(file.meshes[0].primitives[0].attributes).items():
        if index is None:
            continue
        accessor = file.accessors[index]
        assert accessor.componentType == pygltflib.FLOAT
        view, size = file.bufferViews[accessor.bufferView], SIZES[accessor.type]
        assert view.byteOffset % 4 == 0 and view.byteLength == 4 * accessor.count * size
        values = np.frombuffer(blob, "<f4", accessor.count * size, view.byteOffset)
        arrays[name] = values.reshape(accessor.count, size)
    return file, arrays


def test_the_structure_is_that_of_the_extension(path: Path, splats: Splats) -> None:
    file, arrays = read(path)
    primitive = file.meshes[0].primitives[0]
    assert file.extensionsUsed == ["KHR_gaussian_splatting"] and not file.extensionsRequired
    assert primitive.mode == 0 and primitive.extensions["KHR_gaussian_splatting"] == {
        "kernel": "ellipse",
        "colorSpace": "srgb_rec709_display",
        "projection": "perspective",
        "sortingMethod": "cameraDistance",
    }
    harmonics = [f"SH_DEGREE_{degree}_COEF_{index}" for degree in range(3) for index in range(2 * degree + 1)]
    named = [PREFIX + name for name in ("ROTATION", "SCALE", "OPACITY", *harmonics)]
    assert list(arrays) == ["POSITION", "COLOR_0", *named]
    assert {len(values) for values in arrays.values()} == {len(splats.means)}
    assert file.buffers[0].byteLength == sum(values.nbytes for values in arrays.values())
    bounds = file.accessors[primitive.attributes.POSITION]
    np.testing.assert_array_equal(np.float32(bounds.min), arrays["POSITION"].min(axis=0))
    np.testing.assert_array_equal(np.float32(bounds.max), arrays["POSITION"].max(axis=0))


def test_values_are_linear_and_quaternions_end_with_w(path: Path, splats: Splats) -> None:
    _, arrays = read(path)
    np.testing.assert_array_equal(arrays["POSITION"], splats.means.numpy())
    rotation = arrays[PREFIX + "ROTATION"]
    np.testing.assert_array_equal(rotation[:, 3], splats.quaternions[:, 0].numpy())
    np.testing.assert_array_equal(rotation[:, :3], splats.quaternions[:, 1:].numpy())
    np.testing.assert_allclose(np.linalg.norm(rotation, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(arrays[PREFIX + "SCALE"][:, :2], splats.log_scales.exp().numpy(), rtol=1e-6)
    assert (arrays[PREFIX + "SCALE"][:, 2] > 0).all()
    np.testing.assert_allclose(arrays[PREFIX + "OPACITY"][:, 0], splats.opacity_logits.sigmoid().numpy(), rtol=1e-6)
    np.testing.assert_array_equal(arrays[PREFIX + "SH_DEGREE_2_COEF_4"], splats.sh[:, 8].numpy())
    np.testing.assert_array_equal(arrays[PREFIX + "SH_DEGREE_1_COEF_0"], splats.sh[:, 1].numpy())


def test_points_without_the_extension_have_linear_colours(path: Path, splats: Splats) -> None:
    _, arrays = read(path)
    assert arrays["COLOR_0"].min() >= 0 and arrays["COLOR_0"].max() <= 1
    encoded = splats.colors.numpy()
    gray = np.abs(encoded - 0.5) < 0.02
    assert gray.any()
    np.testing.assert_allclose(arrays["COLOR_0"][:, :3][gray], 0.214, atol=0.02)
    points = next(iter(trimesh.load_scene(path).geometry.values()))
    assert isinstance(points, trimesh.PointCloud)
    torch.testing.assert_close(torch.from_numpy(np.asarray(points.vertices)).float(), splats.means)
