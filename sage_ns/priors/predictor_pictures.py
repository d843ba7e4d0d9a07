"""Drawn people to learn a predictor from: pictures without light of a head model, with the truth of each.

Every person is a file in a folder, so that drawing goes on where it was stopped, and a later run with more people draws
only these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sage_ns.errors import SageError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.motion.expression_walk import expression_walk
from sage_ns.motion.face.moves import FaceMoves, face_moves
from sage_ns.priors.coded import PriorError
from sage_ns.priors.predictor_rig import HeadGuess, SkinPlaces, SquareCamera, rig_key
from sage_ns.raster import PinholeCamera
from sage_ns.rig import FlameParams, HeadModel, pose_vertices
from sage_ns.synthetic.painted_people import PaintedPeople
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz

ROOM = 2.3
"""Side of a drawn picture relative to the larger side of the box around the landmarks: crops differ within it."""
FIRST_PERSON = 10_000
"""Number of the first person of the generator who is drawn: nobody on whom anything is checked."""
_SPREAD = 1.1
"""Standard deviation of identity coefficients."""
_FARTHEST = (0.55, 1.05, 0.35)
"""Radians that heads nod, turn and lean, at most."""
_DISTANCES = (0.35, 1.6)
"""Metres to the camera."""
_SHARE_AT_REST = 0.25
"""Of the pictures that show a neutral face."""


@dataclass(frozen=True, eq=False)
class DrawnHeads:
    """Pictures of one size and their truth. Cameras look along -z at the middle of the landmarks' box."""

    channels: UInt8[Tensor, "n side side 7"]
    """See `sage_ns.synthetic.painted_people.UnlitPicture`."""
    person: Int[Tensor, "n"]
    shape: Float[Tensor, "n num_shape"]
    """Of all directions of the model, as `expression`."""
    expression: Float[Tensor, "n num_expression"]
    rotation: Float[Tensor, "n 3"]
    jaw: Float[Tensor, "n 3"]
    eyes: Float[Tensor, "n 6"]
    translation: Float[Tensor, "n 3"]
    focal: Float[Tensor, "n"]
    """Pixels."""
    box: Float[Tensor, "n 4"]
    """Left, top, right and bottom of the landmarks, pixels."""

    def __len__(self) -> int:
        return len(self.focal)

    def to(self, device: torch.device | str) -> DrawnHeads:
        """Return the same pictures on another device."""
        return DrawnHeads(**{name: each.to(device) for name, each in vars(self).items()})

    def rows(self, rows: Int[Tensor, "m"]) -> DrawnHeads:
        """Return some of the pictures."""
        return DrawnHeads(**{name: each[rows] for name, each in vars(self).items()})

    def params(self, row: int) -> FlameParams:
        """Return the truth of one picture."""
        one = slice(row, row + 1)
        return FlameParams(
            shape=self.shape[row], expr=self.expression[one], rotation=self.rotation[one],
            neck_pose=torch.zeros_like(self.rotation[one]), jaw_pose=self.jaw[one], eyes_pose=self.eyes[one],
            translation=self.translation[one],
        )  # fmt: skip

    def truth(self, camera: SquareCamera, num_shape: int, num_expression: int) -> HeadGuess:
        """Return what a network should say of squares of the pictures; place and light are not known here: zeros."""
        return HeadGuess(
            shape=self.shape[:, :num_shape],
            expression=self.expression[:, :num_expression],
            jaw=self.jaw,
            eyes=self.eyes.reshape(-1, 2, 3)[..., :2].flatten(1),
            rotation=camera.to_ray().mT @ axis_angle_to_matrix(self.rotation),
            place=torch.zeros_like(self.rotation),
            light=self.rotation.new_zeros(len(self), 9, 3),
        )


def draw_people(
    model: HeadModel,
    landmarks: SkinPlaces,
    directions: tuple[int, int],
    num_people: int,
    per_person: int,
    side: int,
    folder: Path,
    progress: Callable[[int, int], None],
    seed: int = 0,
) -> DrawnHeads:
    """Draw people of a head model, or read those that were drawn before.

    Args:
        model: mean head, on the CPU.
        landmarks: of a face, which say what a detector's box contains.
        directions: number of directions of identity and expression in which people differ.
        num_people: number of people.
        per_person: pictures of each.
        side: of a picture, pixels.
        folder: of one file per person.
        progress: called with (people done, people in total).
        seed: of everything that is drawn.

    Raises:
        RegistrationError: the model is no head that the built-in head can be registered to, for where to paint it.
        WriteError: the folder cannot be written.
    """
    key = _key(model, landmarks, directions, per_person, side, seed)
    painted: PaintedPeople | None = None
    moves: FaceMoves | None = None
    people = []
    for number in range(num_people):
        path = folder / f"person_{number:05d}.npz"
        found = _read(path, key, number, per_person, side, model) if path.is_file() else None
        if found is None:
            painted = PaintedPeople(model) if painted is None else painted
            moves = face_moves(model) if moves is None else moves
            params = _poses(model, moves, directions, per_person, [seed, number])
            found = _drawn(model, landmarks, painted, params, number, side, [seed, number])
            arrays = {name: each.numpy() for name, each in vars(found).items()}
            write_npz(path, {"key": np.array(key), **arrays}, compress=True)
        people.append(found)
        progress(number + 1, num_people)
    parts = zip(*(vars(each).values() for each in people), strict=True)
    return DrawnHeads(*(torch.cat(part) for part in parts))


def _poses(model: HeadModel, moves: FaceMoves, directions: tuple[int, int], count: int, seed: list[int]) -> FlameParams:
    """Return one person in many poses: identity, expressions of the generator of motion, and turns of the head."""
    rng = np.random.default_rng([*seed, 31])
    walk = expression_walk(model, 12 * count, int(rng.integers(2**31)), moves).params[torch.arange(count) * 12 + 6]

    def numbers(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))

    still = numbers((rng.random((count, 1)) > _SHARE_AT_REST).astype(float))
    shape = torch.zeros(model.num_shape)
    shape[: directions[0]] = numbers(_SPREAD * rng.normal(size=directions[0]).clip(-2.5, 2.5))
    expr = still * walk.expr
    expr[:, directions[1] :] = 0.0
    return replace(
        walk,
        shape=shape,
        expr=expr,
        jaw_pose=still * walk.jaw_pose,
        rotation=numbers(rng.uniform(-1, 1, size=(count, 3)) * _FARTHEST),
        neck_pose=torch.zeros(count, 3),
        translation=torch.zeros(count, 3),
        static_offset=None,
    )


def _drawn(
    model: HeadModel,
    landmarks: SkinPlaces,
    painted: PaintedPeople,
    params: FlameParams,
    number: int,
    side: int,
    seed: list[int],
) -> DrawnHeads:
    rng, paint, rows = np.random.default_rng([*seed, 32]), painted.paint(FIRST_PERSON + number), []
    for row in range(params.num_timesteps):
        vertices = pose_vertices(model, params[row])[0]
        points = landmarks.points(vertices, model)
        distance = float(np.exp(rng.uniform(*np.log(_DISTANCES))))
        middle = 0.5 * (points.amin(dim=0) + points.amax(dim=0))
        translation = torch.tensor([0.0, 0.0, -distance]) - middle
        for _ in range(2):  # the middle of the box in the picture is not that of the points in space
            low, high = _box(points + translation)
            translation[:2] += 0.5 * (low + high) * torch.tensor([-1.0, 1.0]) * distance
        low, high = _box(points + translation)
        focal = side / (ROOM * float((high - low).max()))
        camera = PinholeCamera.from_opengl(torch.eye(4), focal, focal, side / 2, side / 2, side, side)
        picture = painted.seen(vertices + translation, camera, paint)
        rows.append((picture.channels, translation, torch.tensor(focal), focal * torch.cat([low, high]) + side / 2))
    channels, translation, focal, box = (torch.stack(part) for part in zip(*rows, strict=True))
    count = len(focal)
    return DrawnHeads(
        channels, torch.full((count,), number), params.shape.expand(count, -1).clone(), params.expr, params.rotation,
        params.jaw_pose, params.eyes_pose, translation, focal, box,
    )  # fmt: skip


def _box(points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "2"], Float[Tensor, "2"]]:
    """Return the box in which a camera at the origin with the focal length 1 sees points; x right, y down."""
    flat = points[:, :2] / -points[:, 2:] * points.new_tensor([1.0, -1.0])
    return flat.amin(dim=0), flat.amax(dim=0)


def _key(
    model: HeadModel, landmarks: SkinPlaces, directions: tuple[int, int], per_person: int, side: int, seed: int
) -> str:
    digest = hashlib.sha256(repr((rig_key(model), directions, per_person, side, seed, ROOM)).encode())
    digest.update(landmarks.triangle.numpy().tobytes() + landmarks.barycentric.numpy().tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path, key: str, number: int, count: int, side: int, model: HeadModel) -> DrawnHeads | None:
    """Return what a file of the same settings holds; None if it has to be drawn again."""
    with suppress(SageError):
        read = ArrayFields(str(path), read_npz(path, PriorError), PriorError)
        if read.text("key") != key:
            return None
        shapes = {"shape": f"{count} {model.num_shape}", "expression": f"{count} {model.num_expression}",
                  "rotation": f"{count} 3", "jaw": f"{count} 3", "eyes": f"{count} 6", "translation": f"{count} 3",
                  "focal": f"{count}", "box": f"{count} 4"}  # fmt: skip
        channels = torch.from_numpy(read.pixels("channels", f"{count} {side} {side} 7").copy())
        numbers = {name: read.floats(name, shape) for name, shape in shapes.items()}
        return DrawnHeads(channels, torch.full((count,), number), **numbers)
    return None
