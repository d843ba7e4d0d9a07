"""A head before cameras in any world and unit is found again, and faces or cameras that do not hold are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sage_ns.errors import TrackingError
from sage_ns.rig import pose_vertices
from sage_ns.tracking.cameras.aim import read_as
from sage_ns.tracking.cameras.rig_camera import RigCamera
from sage_ns.tracking.face import Face
from sage_ns.tracking.rig_fit import RigFit, fit_rig, placed_head, scale_of
from sage_ns.tracking.triangulation import agreeing_landmarks, triangulate
from tests.tracking.known_rig import KnownRig, elsewhere, known_rig


@pytest.fixture(scope="module")
def rig() -> KnownRig:
    return known_rig()


def fitted(rig: KnownRig, cameras: list[RigCamera], unit: float | None, faces: dict[int, Face] | None = None) -> RigFit:
    return fit_rig(
        cameras, rig.faces if faces is None else faces, rig.model, rig.embedding, unit, "cameras.json", error=1e-3
    )


def surface_error(rig: KnownRig, fit: RigFit) -> float:
    """Largest distance between corresponding vertices of the face, metres."""
    face = rig.model.regions.vertices("face")
    return float((pose_vertices(rig.model, fit.params)[0][face] - rig.vertices[face]).norm(dim=1).max())


def test_landmarks_in_space_are_where_the_head_has_them(rig: KnownRig) -> None:
    found = triangulate(rig.cameras, list(rig.faces.values()), np.ones(478))
    assert found is not None
    places = rig.embedding.points(rig.vertices, rig.model.triangles)
    np.testing.assert_allclose(found.points, places.numpy(), atol=1e-4)
    assert found.agrees.all()


def test_the_head_becomes_the_world_and_metres_stay_metres(rig: KnownRig) -> None:
    fit = fitted(rig, elsewhere(rig.cameras, 100.0), 0.01)
    assert fit.scale_source == "stated with the cameras"
    assert surface_error(rig, fit) < 5e-3
    for found, wanted in zip(fit.cameras, rig.cameras, strict=True):
        np.testing.assert_allclose(found.world_to_camera, wanted.world_to_camera, atol=6e-2)
    assert not fit.params.rotation.any()
    assert not fit.params.translation.any()
    # The report's matrix takes the stated camera centres to those of the capture.
    stated = np.array([[*camera.position, 1.0] for camera in elsewhere(rig.cameras, 100.0)])
    np.testing.assert_allclose(
        (stated @ fit.world_to_head.T)[:, :3], [camera.position for camera in fit.cameras], atol=1e-6
    )


@pytest.mark.parametrize(
    ("units_per_metre", "metres_per_unit", "why"), [(1.0, 1.0, "agrees with metres"), (7.0, 1 / 7, "the mean head")]
)
def test_without_a_unit_metres_are_believed_where_the_head_fits(
    rig: KnownRig, units_per_metre: float, metres_per_unit: float, why: str
) -> None:
    points = units_per_metre * rig.embedding.points(rig.vertices, rig.model.triangles).double().numpy()
    placed = placed_head(points, rig.model, rig.embedding, "f")
    scale, source = scale_of(placed, None, "f")
    assert scale == pytest.approx(metres_per_unit, rel=0.05)
    assert why in source
    assert scale_of(placed, metres_per_unit, "f")[0] == metres_per_unit


def test_a_wrong_unit_is_refused(rig: KnownRig) -> None:
    with pytest.raises(TrackingError, match=r"the head is 0.001\d* times as large .* about 0.99\d* m"):
        fitted(rig, elsewhere(rig.cameras), 0.001)


def test_a_face_that_slides_does_not_agree(rig: KnownRig) -> None:
    face = rig.faces[4]
    points = face.points.clone()
    points[:, 0] += 0.3 * (face.box[2] - face.box[0])
    faces = [*list(rig.faces.values())[:4], replace(face, points=points)]
    found = agreeing_landmarks(rig.cameras, faces, np.ones(478), "f")
    assert found.agrees.tolist() == [True] * 4 + [False]


def test_inverted_matrices_are_refused_with_the_reading_that_fits(rig: KnownRig) -> None:
    cameras = read_as(elsewhere(rig.cameras), np.linalg.inv)
    with pytest.raises(TrackingError, match=r"do not agree with the faces: . of 5 .*the other direction"):
        agreeing_landmarks(cameras, list(rig.faces.values()), np.ones(478), "cameras.json")


def test_mirrored_faces_are_no_head(rig: KnownRig) -> None:
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    cameras = read_as(rig.cameras, lambda matrix: flip @ matrix @ flip)
    faces = {}
    for row, (camera, face) in enumerate(zip(rig.cameras, rig.faces.values(), strict=True)):
        points = face.points.clone()
        points[:, 0] = 2 * camera.center[0] - points[:, 0]
        faces[row] = replace(face, points=points)
    with pytest.raises(TrackingError, match=r"no face: they are off .*mirrored"):
        fitted(rig, cameras, 1.0, faces)


def test_one_face_is_too_few(rig: KnownRig) -> None:
    with pytest.raises(TrackingError, match="1 of 5 pictures show a face"):
        fitted(rig, rig.cameras, 1.0, {2: rig.faces[2]})


def test_faces_from_behind_a_camera_do_not_agree(rig: KnownRig) -> None:
    cameras = [
        replace(camera, world_to_camera=np.diag([-1.0, 1, -1, 1]) @ camera.world_to_camera) for camera in rig.cameras
    ]
    assert triangulate(cameras, list(rig.faces.values()), torch.ones(478).numpy()) is None
