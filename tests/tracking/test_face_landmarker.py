"""Faces in pictures: a photograph that scikit-image ships (NASA, public domain), turned, doubled and absent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sage_ns.errors import NetworkError, OptionError
from sage_ns.motion.files.mediapipe_scores import MEDIAPIPE_NAMES
from sage_ns.rig.flame_params import FlameParams
from sage_ns.rig.head_model import load_head_model
from sage_ns.rig.skinning import pose_vertices
from sage_ns.tracking.detectors import detector_kinds, open_detector
from sage_ns.tracking.face import Face
from sage_ns.tracking.face_landmarker import FaceLandmarker, Thresholds, load_face_landmarker
from tests.tracking.tflite_writer import small_network, task

PLACES = {"tip of the nose": (1, 224, 132), "right iris": (468, 204, 101), "left iris": (473, 247, 103),
          "upper lip": (13, 223, 143), "chin": (152, 221, 179), "right corner": (33, 196, 101),
          "left corner": (263, 256, 104)}  # fmt: skip
"""Landmarks of the astronaut, read off the picture; right is the person's own."""
_NEAR = 4.0


@pytest.fixture(scope="session")
def landmarker() -> FaceLandmarker:
    return load_face_landmarker()


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    return pytest.importorskip("skimage.data", reason="scikit-image has the photograph").astronaut()


@pytest.fixture(scope="session")
def upright(landmarker: FaceLandmarker, astronaut: np.ndarray) -> Face:
    (face,) = landmarker(astronaut)
    return face


def test_eyes_nose_and_mouth_are_where_they_are_in_the_picture(upright: Face):
    for name, (number, x, y) in PLACES.items():
        distance = float((upright.points[number, :2] - torch.tensor([float(x), float(y)])).norm())
        assert distance < _NEAR, f"{name} is {distance:.1f} px off"
    assert upright.confidence > 0.95
    left, top, right, bottom = upright.box
    assert 175 < left < 185 and 65 < top < 76 and 265 < right < 278 and 173 < bottom < 184
    # The tip of the nose is before the cheeks, the sides of the face behind them.
    assert upright.points[1, 2] < upright.points[50, 2] < upright.points[234, 2]


def test_she_smiles(upright: Face):
    assert tuple(upright.scores) == MEDIAPIPE_NAMES
    assert all(0.0 <= value <= 1.0 for value in upright.scores.values())
    assert min(upright.scores["mouthSmileLeft"], upright.scores["mouthSmileRight"]) > 0.6
    assert max(upright.scores[name] for name in ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthPucker")) < 0.2


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_picture_gives_the_same_face_turned(landmarker, astronaut, upright: Face, quarters: int):
    (face,) = landmarker(torch.from_numpy(np.rot90(astronaut, quarters).copy()))
    x, y = face.points[:, 0], face.points[:, 1]
    for _ in range(quarters):
        x, y = 512 - y, x
    assert float((torch.stack([x, y], -1) - upright.points[:, :2]).norm(dim=-1).mean()) < 0.6
    differences = [abs(face.scores[name] - upright.scores[name]) for name in MEDIAPIPE_NAMES]
    assert np.mean(differences) < 0.03


def test_two_faces_are_two_and_the_largest_is_first(landmarker, astronaut, upright: Face):
    small = np.zeros_like(astronaut)
    small[:400, :400] = astronaut[50:450, 50:450]
    faces = landmarker(np.concatenate([small[:, :400], astronaut[:, ::-1]], axis=1))
    assert len(faces) == 2 and all(face.confidence > 0.95 for face in faces)
    firsts = [face.box[2] - face.box[0] for face in faces]
    assert firsts[0] >= firsts[1] * 0.99
    left, right = sorted(faces, key=lambda face: face.box[0])
    assert abs(float(left.points[1, 0]) - (224 - 50)) < _NEAR and abs(float(left.points[1, 1]) - (132 - 50)) < _NEAR
    assert abs(float(right.points[1, 0]) - (400 + 512 - 224)) < _NEAR


def test_a_face_that_is_small_in_the_picture_is_found(landmarker, astronaut):
    wide = np.zeros((900, 1400, 3), np.uint8)
    wide[380:892, 20:532] = astronaut
    (face,) = landmarker(wide)
    assert abs(float(face.points[1, 0]) - (224 + 20)) < _NEAR and abs(float(face.points[1, 1]) - (132 + 380)) < _NEAR


def test_a_film_is_followed_in_one_pass(landmarker, astronaut, upright: Face):
    moved = np.roll(astronaut, (4, 6), axis=(0, 1))
    face = landmarker.follow(moved, upright)
    assert face is not None and face.scores == {}
    shift = torch.tensor([6.0, 4.0])
    assert float((face.points[:, :2] - upright.points[:, :2] - shift).norm(dim=-1).mean()) < 0.5
    elsewhere = Face(upright.points + torch.tensor([200.0, 250.0, 0.0]), 0.9, {}, upright.box)
    again = landmarker.follow(astronaut, elsewhere)
    assert again is not None and float((again.points - upright.points)[:, :2].norm(dim=-1).mean()) < 0.5
    assert landmarker.follow(np.zeros((120, 160, 3), dtype=np.uint8), upright) is None


def test_nothing_has_no_face(landmarker):
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    assert landmarker(noise) == landmarker(np.full((120, 90, 3), 128, np.uint8)) == []
    assert landmarker(np.zeros((1, 1, 3), np.uint8)) == landmarker(np.zeros((2, 900, 3), np.uint8)) == []


def test_thresholds_decide_what_counts(landmarker, astronaut):
    networks = landmarker._networks
    assert FaceLandmarker(networks, thresholds=Thresholds(detection=0.999))(astronaut[::4, ::4].copy()) == []


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 4), (0, 5, 3)])
def test_what_is_no_picture_is_refused(landmarker, shapes_unchecked, shape):
    with pytest.raises(OptionError, match="expected a picture of bytes"):
        landmarker(np.zeros(shape, np.uint8))
    with pytest.raises(OptionError, match="float32"):
        landmarker(torch.zeros(5, 5, 3))


@pytest.mark.gpu
def test_cuda_finds_the_same_face(astronaut, upright: Face):
    (face,) = load_face_landmarker(device="cuda")(astronaut)
    assert float((face.points - upright.points).abs().max()) < 0.2
    assert face.points.device.type == "cpu"


@pytest.mark.shared
def test_a_tracked_head_agrees_with_its_rig(shared: Path, landmarker):
    """The rig's 68 landmarks, projected, lie near the mesh's; the two conventions differ by some pixels."""
    folder = shared / "captures" / "fk01"
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    frame = next(each for each in frames if each["file_path"].endswith(FRONT))
    picture = np.array(Image.open(folder / frame["file_path"]).convert("RGB"))
    model = load_head_model(shared / "facekit" / "head_model.pkl")
    params = FlameParams.load(folder / frame["flame_param_path"])
    assert model.landmark_triangles is not None and model.landmark_barycentric is not None
    corners = pose_vertices(model, params)[0][model.triangles[model.landmark_triangles]]
    points = (corners * model.landmark_barycentric[..., None]).sum(1)
    to_world = torch.tensor(frame["transform_matrix"])  # OpenGL: y up, z backwards
    seen = (points - to_world[:3, 3]) @ to_world[:3, :3] * torch.tensor([1.0, -1.0, -1.0])
    pixels = seen[:, :2] / seen[:, 2:] * frame["fl_x"] + torch.tensor([frame["cx"], frame["cy"]])
    (face,) = landmarker(picture)
    inner = pixels[17:]  # the outline of the jaw slides with the view
    distances = (face.points[list(MULTI_PIE_INNER), :2] - inner).norm(dim=-1)
    assert float(distances.mean()) < 8.0


FRONT = "00000_08.jpg"
MULTI_PIE_INNER = (
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 75, 97, 2, 326, 305, 33, 160, 158, 133, 153, 144,
    362, 385, 387, 263, 373, 380, 61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14,
    87,
)  # fmt: skip
"""Landmarks of the mesh at points 18 to 68 of Multi-PIE: brows, nose, eyes, lips."""


def test_detectors_are_found_by_name(tmp_path: Path):
    assert [kind.name for kind in detector_kinds()] == ["litert", "torch"]
    with pytest.raises(NetworkError, match="choose one of litert, torch"):
        open_detector("dlib")
    (tmp_path / "face.task").write_bytes(task({"face_detector.tflite": small_network()}))
    with pytest.raises(NetworkError, match=r"has no face_blendshapes\.tflite"):
        open_detector("torch", tmp_path / "face.task")
    three = ("face_detector", "face_landmarks_detector", "face_blendshapes")
    (tmp_path / "face.task").write_bytes(task({f"{name}.tflite": small_network() for name in three}))
    with pytest.raises(NetworkError, match=r"found inputs \[\(1, 4, 4, 2\)\]"):
        open_detector("torch", tmp_path / "face.task")


def test_litert_says_what_it_needs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sage_ns.tracking.litert.find_spec", lambda _: None)
    with pytest.raises(NetworkError, match="track-fast"):
        open_detector("litert")
    monkeypatch.setattr("sage_ns.tracking.litert.find_spec", lambda _: object())
    with pytest.raises(NetworkError, match=r"face_landmarker\.task"):
        open_detector("litert")
