"""The file of a predictor, and what it says about pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.errors import OptionError
from sage_ns.priors.coded import PriorError
from sage_ns.priors.predictor import load_predictor
from sage_ns.priors.sitter import reference_head
from sage_ns.raster import rasterize
from sage_ns.raster.cameras import project
from sage_ns.rig import pose_vertices
from sage_ns.tracking.window import Window
from tests.priors.people import spoil
from tests.priors.predicted import DIRECTIONS, SIZE, fresh, landmarks
from tests.tiny import tiny_head_model

PICTURE = torch.randint(0, 255, (120, 160, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
POINTS = torch.tensor([[60.0, 40.0], [100.0, 90.0]])


def test_the_file_holds_the_predictor(tmp_path: Path) -> None:
    path = tmp_path / "predictor.npz"
    predictor = replace(fresh(), num_people=5, num_clips=2)
    size = predictor.save(path)
    loaded = load_predictor(path)
    assert size == path.stat().st_size
    assert (loaded.size, loaded.rig, loaded.num_people, loaded.num_clips) == (SIZE, predictor.rig, 5, 2)
    assert (loaded.num_shape, loaded.num_expression) == DIRECTIONS
    for name, each in predictor.weights().items():
        torch.testing.assert_close(loaded.weights()[name], each, atol=1e-3, rtol=1e-3)
    again = tmp_path / "again.npz"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("format", lambda a: a + 1, "'format': found 2, expected 1"),
        ("rig", None, "'rig': found nothing"),
        ("rig", lambda a: np.array(3), "'rig': found type int64, expected strings"),
        ("side", lambda a: a + 1, "'side' is 33; expected a multiple of 16"),
        ("side", lambda a: a * 2, "'head.positions': found shape"),
        ("width", lambda a: a * 1000, "'width' is 32000; expected 16 to 1024"),
        ("places", lambda a: a + 2, "'surfels.places': found shape"),
        ("num_shape", lambda a: a + 1, "'head.heads.shape.weight': found shape"),
        ("num_shape", lambda a: a - 100, "'num_shape': found values in -88..-88"),
        ("num_expression", None, "'num_expression': found nothing"),
        ("landmark_triangle", lambda a: a[:7], "'landmark_barycentric': found shape"),
        ("landmark_triangle", lambda a: -a, "'landmark_triangle': found values in"),
        ("landmark_barycentric", lambda a: 2 * a, "do not sum to 1"),
        ("head.tokens", lambda a: a * np.float16(np.inf), "'head.tokens': found"),
        ("head.tokens", lambda a: a + np.float16(1000), "'head.tokens': found numbers up to"),
        ("head.stem.0.weight", lambda a: a[:, :2], "'head.stem.0.weight': found shape"),
        ("surfels.last.bias", None, "'surfels.last.bias': found nothing"),
    ],
)
def test_broken_files_are_refused(
    tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray] | None, message: str
) -> None:
    path = tmp_path / "predictor.npz"
    fresh().save(path)
    spoil(path, name, change)
    with pytest.raises(PriorError, match=message) as raised:
        load_predictor(path)
    assert str(path) in str(raised.value)


def test_other_head_models_are_refused() -> None:
    predictor = fresh()
    predictor.check_rig(reference_head())
    with pytest.raises(PriorError, match=r"learned for the head model .*not for 'tiny'"):
        predictor.check_rig(tiny_head_model(), "me.npz")
    with pytest.raises(PriorError, match="learned for the head model"):
        predictor.predict(PICTURE, POINTS, 200.0, tiny_head_model())
    beyond = replace(predictor, num_shape=301)
    with pytest.raises(PriorError, match="names triangles or directions"):
        beyond.check_rig(reference_head())


def test_a_focal_length_has_to_be_positive() -> None:
    with pytest.raises(OptionError, match="focal"):
        fresh().predict(PICTURE, POINTS, 0.0, reference_head())


def test_the_head_is_where_the_face_is() -> None:
    """A predictor that has learned nothing says the mean head, from the front, at the face."""
    model, predictor = reference_head(), fresh()
    found = predictor.predict(PICTURE, POINTS, 300.0, model)
    vertices = pose_vertices(model, found.params)[0]
    seen = project(landmarks().points(vertices, model), Window(0, 0, 160, 120, 1).camera(300.0, (160, 120))).pixels
    assert float((seen.mean(dim=0) - POINTS.mean(dim=0)).norm()) < 4
    assert 30 < float((seen.amax(dim=0) - seen.amin(dim=0)).max()) < 90
    assert found.params.shape.shape == (model.num_shape,) and not found.params.neck_pose.any()
    alone = predictor.parameters(PICTURE, POINTS, 300.0, model, predictor.rig_of(model))
    torch.testing.assert_close(alone.translation, found.params.translation)


def test_the_surfels_cover_the_head() -> None:
    model, predictor = reference_head(), fresh()
    found = predictor.predict(PICTURE, POINTS, 300.0, model)
    vertices, places = pose_vertices(model, found.params)[0], predictor.surfel_places(model)
    camera = Window(0, 0, 160, 120, 1).camera(300.0, (160, 120))
    placed = places.place(found.surfels, vertices, found.light, found.light_axes)
    buffers = rasterize(placed.surfels, camera)
    inside = project(vertices, camera)
    assert float(buffers.alpha[inside.row, inside.column].mean()) > 0.8
    # Before anything is learned, surfels lie on their triangles.
    assert float(placed.normal_consistency()) < 0.01
    assert float(placed.depth_consistency(buffers.depth, buffers.alpha, camera)) < 0.002


def test_another_light_changes_the_colours_alone() -> None:
    model, predictor = reference_head(), fresh()
    found = predictor.predict(PICTURE, POINTS, 300.0, model)
    vertices, places = pose_vertices(model, found.params)[0], predictor.surfel_places(model)
    first, second = (places.place(found.surfels, vertices, light).surfels for light in (found.light, 2 * found.light))
    torch.testing.assert_close(2 * first.colors, second.colors)
    torch.testing.assert_close(first.means, second.means)
