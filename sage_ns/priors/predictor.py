"""A predictor: from a picture of a face to FLAME parameters, light, and surfels that are bound to the rig.

This is SHeaP's shape of a tracker (arXiv 2504.12292) with networks that train on a CPU. A predictor knows one head
model: its coefficients mean nothing on another. `sage-prior learn-predictor` learns one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sage_ns.avatar.atlas import places_on
from sage_ns.errors import OptionError
from sage_ns.priors.coded import PriorError
from sage_ns.priors.predictor_clips import square_of, taken_square
from sage_ns.priors.predictor_network import HeadNetwork, SurfelNetwork
from sage_ns.priors.predictor_rig import PredictorRig, SkinPlaces, SquareCamera, flame_params, rig_key
from sage_ns.priors.predictor_size import PredictorSize
from sage_ns.priors.predictor_surfels import RiggedSurfels, SurfelPlaces
from sage_ns.priors.sitter import reference_atlas, reference_head
from sage_ns.rig import FlameParams, HeadModel
from sage_ns.system.array_fields import ArrayFields, read_npz, write_npz

_FORMAT = 1
_LARGEST = 100.0
"""Largest magnitude of a weight."""
_MOST_DIRECTIONS = 400
_HINT = "Learn one with sage-prior learn-predictor."


@dataclass(frozen=True, eq=False)
class PredictedHead:
    """What a predictor says about a face in a picture."""

    params: FlameParams
    """One moment, in the axes of the camera at the origin (x right, y up, z back; metres)."""
    light: Float[Tensor, "9 3"]
    """Harmonics of degree 0 to 2 on the colours (`sage_ns.avatar.light`), in the columns of `light_axes`."""
    light_axes: Float[Tensor, "3 3"]
    surfels: RiggedSurfels
    """Bound to the head model; `Predictor.surfel_places` places and lights them."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """The networks of a predictor, for one head model."""

    size: PredictorSize
    head: HeadNetwork
    surfels: SurfelNetwork
    landmarks: SkinPlaces
    """Of the detector whose boxes it knows, on the head model."""
    rig: str
    """What identifies the head model (`rig_key`)."""
    rig_name: str
    num_shape: int
    num_expression: int
    num_people: int
    """Drawn people that it was learned from."""
    num_clips: int
    """Captures that it was learned from."""

    @classmethod
    def fresh(
        cls, size: PredictorSize, model: HeadModel, landmarks: SkinPlaces, directions: tuple[int, int], seed: int
    ) -> Predictor:
        """Return a predictor that has learned nothing: it says the mean head from the front.

        Args:
            size: of the networks.
            model: head model.
            landmarks: on it.
            directions: numbers of directions of identity and expression.
            seed: of the weights.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks = HeadNetwork(size, *directions), SurfelNetwork(size)
        return cls(size, *networks, landmarks, rig_key(model), model.name, *directions, 0, 0)

    def to(self, device: torch.device | str) -> Predictor:
        """Move the networks to a device."""
        self.head.to(device)
        self.surfels.to(device)
        return self

    def check_rig(self, model: HeadModel, source: str = "predictor") -> None:
        """Refuse a head model that it was not learned for.

        Raises:
            PriorError: names both.
        """
        if (found := rig_key(model)) != self.rig:
            raise PriorError(
                f"{source}: it was learned for the head model '{self.rig_name}' ({self.rig}), not for '{model.name}' "
                f"({found}), whose coefficients mean something else. Give its head model, or learn one for yours: "
                "sage-prior learn-predictor."
            )
        fits = (
            int(self.landmarks.triangle.max()) < model.num_triangles
            and self.num_shape <= model.num_shape
            and self.num_expression <= model.num_expression
        )
        if not fits:
            raise PriorError(f"{source}: it names triangles or directions that '{model.name}' does not have. {_HINT}")

    def rig_of(self, model: HeadModel) -> PredictorRig:
        """Return its head model, reduced to what it poses."""
        return PredictorRig(model, self.landmarks, self.num_shape, self.num_expression)

    def surfel_places(self, model: HeadModel) -> SurfelPlaces:
        """Return where its surfels are on its head model.

        Raises:
            RegistrationError: the model is no head that the atlas can be carried to.
        """
        atlas = reference_atlas(self.size.places)
        return SurfelPlaces(atlas, places_on(atlas, reference_head(), model), model)

    @torch.no_grad()
    def predict(
        self,
        picture: UInt8[Tensor | np.ndarray, "height width 3"],
        points: Float[Tensor, "num_points 2"],
        focal: float,
        model: HeadModel,
        center: tuple[float, float] | None = None,
        places: SurfelPlaces | None = None,
    ) -> PredictedHead:
        """Return the head in a picture.

        Args:
            picture: sRGB.
            points: landmarks of the face [pixels]; only the box around them counts.
            focal: length, pixels. A wrong one gives a wrong distance.
            model: head model, see `check_rig`.
            center: principal point [pixels]; None = the middle of the picture.
            places: of `surfel_places`, to compute them once for many pictures.

        Raises:
            PriorError: the predictor was learned for another head model.
            OptionError: the focal length is not positive.
        """
        self.check_rig(model)
        square, camera = self._square(picture, points, focal, center)
        guess, person = self.head(square[None])
        heads = self.rig_of(model).located(guess, camera)
        places = self.surfel_places(model) if places is None else places
        outputs = self.surfels(person, places.neighbours)[0]
        params = flame_params(guess, heads, model)
        return PredictedHead(params, guess.light[0], camera.to_ray()[0], places.surfels(outputs))

    @torch.no_grad()
    def parameters(
        self,
        picture: UInt8[Tensor | np.ndarray, "height width 3"],
        points: Float[Tensor, "num_points 2"],
        focal: float,
        model: HeadModel,
        rig: PredictorRig,
    ) -> FlameParams:
        """Return the parameters of the head in a picture alone: no atlas is carried to the head model.

        Args:
            picture: as for `predict`, as ``points`` and ``focal``; the principal point is the middle.
            points: see there.
            focal: see there.
            model: head model, which was checked (`check_rig`).
            rig: of `rig_of`.

        Raises:
            OptionError: the focal length is not positive.
        """
        square, camera = self._square(picture, points, focal, None)
        guess, _ = self.head(square[None])
        return flame_params(guess, rig.located(guess, camera), model)

    def _square(
        self,
        picture: UInt8[Tensor | np.ndarray, "height width 3"],
        points: Float[Tensor, "num_points 2"],
        focal: float,
        center: tuple[float, float] | None,
    ) -> tuple[Float[Tensor, "side side 3"], SquareCamera]:
        """Return the square around a face, and the camera that sees it."""
        if not focal > 0:
            raise OptionError("expected a focal length above 0 pixels", focal=focal)
        # A copy: pictures from files may be read-only, which torch does not know.
        pixels = picture if isinstance(picture, Tensor) else torch.from_numpy(np.array(picture))
        middle, side = square_of(points.float())
        square = taken_square(pixels, middle, side, self.size.side)
        principal = center or (0.5 * pixels.shape[1], 0.5 * pixels.shape[0])
        return square, SquareCamera(
            torch.tensor([focal]), torch.tensor([principal]), middle[None], torch.tensor([side])
        )

    def weights(self) -> dict[str, Tensor]:
        """Return all weights by the names that they have in a file."""
        parts = {"head": self.head, "surfels": self.surfels}
        return {
            f"{part}.{name}": each for part, network in parts.items() for name, each in network.state_dict().items()
        }

    def save(self, path: Path) -> int:
        """Write the predictor as npz without pickles, weights in half precision; returns the size in bytes.

        Raises:
            WriteError: the file cannot be written.
        """
        arrays = {
            "format": np.array(_FORMAT, dtype=np.int64),
            "rig": np.array(self.rig),
            "rig_name": np.array(self.rig_name),
            "landmark_triangle": self.landmarks.triangle.cpu().numpy().astype(np.int32),
            "landmark_barycentric": self.landmarks.barycentric.cpu().numpy().astype(np.float32),
        }
        counts = {name: getattr(self, name) for name in ("num_shape", "num_expression", "num_people", "num_clips")}
        for name, value in {**asdict(self.size), **counts}.items():
            arrays[name] = np.array(value, dtype=np.int64)
        arrays |= {name: each.detach().cpu().numpy().astype(np.float16) for name, each in self.weights().items()}
        write_npz(path, arrays, compress=True)
        return path.stat().st_size


def load_predictor(path: Path) -> Predictor:
    """Load a predictor that `sage-prior learn-predictor` wrote.

    Raises:
        PriorError: the file is missing or broken; names the file and the field.
    """
    read = ArrayFields(str(path), read_npz(path, PriorError), PriorError, _HINT)
    version = int(read.indices("format", ""))
    if version != _FORMAT:
        raise read.fail("format", str(version), str(_FORMAT))
    size = PredictorSize(**{field.name: int(read.indices(field.name, "", 1 << 31)) for field in fields(PredictorSize)})
    fault = size.fault()
    if fault is not None:
        raise PriorError(f"{path}: {fault}. {_HINT}")
    directions = [int(read.indices(name, "", _MOST_DIRECTIONS)) for name in ("num_shape", "num_expression")]
    counts = [int(read.indices(name, "", 1 << 31)) for name in ("num_people", "num_clips")]
    triangle = read.indices("landmark_triangle", "num_landmarks", 1 << 31)
    barycentric = read.floats("landmark_barycentric", "num_landmarks 3")
    off = (barycentric.sum(dim=1) - 1).abs().maximum(-barycentric.amin(dim=1))
    if not len(triangle) or bool((off > 1e-3).any()):
        raise read.fail("landmark_barycentric", "weights that are negative or do not sum to 1", "points on triangles")
    # Networks without memory: a file that claims large ones costs nothing before its arrays were compared with them.
    with torch.device("meta"):
        empty = HeadNetwork(size, *directions), SurfelNetwork(size)
    landmarks = SkinPlaces(triangle, barycentric)
    predictor = Predictor(size, *empty, landmarks, read.text("rig"), read.text("rig_name"), *directions, *counts)
    weights = {name: _weight(read, name, tuple(each.shape)) for name, each in predictor.weights().items()}
    fresh = HeadNetwork(size, *directions), SurfelNetwork(size)
    for part, network in zip(("head", "surfels"), fresh, strict=True):
        own = {name: weights[f"{part}.{name}"] for name in network.state_dict()}
        network.load_state_dict(own)
        network.requires_grad_(False).eval()
    return replace(predictor, head=fresh[0], surfels=fresh[1])


def _weight(read: ArrayFields, name: str, shape: tuple[int, ...]) -> Tensor:
    values = read.floats(name, " ".join(str(each) for each in shape))
    read.check_magnitude(name, values, _LARGEST)
    return values
