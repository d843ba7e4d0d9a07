"""People at many moments, as the decoders of `sage_ns.priors.uv` learn from them: rigs, expressions, and pictures that
are read while the step before is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sage_ns.avatar.atlas import RigPlaces, places_on
from sage_ns.avatar.atlas_surfels import PosedPlaces
from sage_ns.capture.checked import CaptureOptions
from sage_ns.capture.frames import Frame
from sage_ns.capture.shot import Shot
from sage_ns.evaluation.true_surface import Truth, true_timesteps
from sage_ns.geometry.mesh_queries import barycentric_to_points
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.priors.displacement import ExpressionCode, face_motion, learn_expression_code, probes
from sage_ns.priors.people import frame_camera, frame_pixels, training_moments
from sage_ns.priors.sitter import Sitter, reference_atlas, reference_head
from sage_ns.raster import PinholeCamera
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.system.devices import sent
from sage_ns.system.progress import tracked

TRUTH = ("truth", "surface.npz")
"""Where a capture may hold its true surfaces (`sage_ns.evaluation.true_surface`)."""


@dataclass(frozen=True, eq=False)
class _Person:
    options: CaptureOptions
    places: RigPlaces
    triangles: Int[Tensor, "num_triangles 3"]
    background: Float[Tensor, "3"]
    """On the device, as places and triangles; ``ground`` is the same on the CPU, where pictures are read."""
    ground: Float[Tensor, "3"]


@dataclass(frozen=True, eq=False)
class _Moment:
    """One person at one moment."""

    person: int
    vertices: Float[Tensor, "num_vertices 3"]
    frames: Sequence[Frame]
    cameras: Sequence[PinholeCamera]


@dataclass(frozen=True, eq=False)
class Draws:
    """What each step of a stage learns from; a function of seed and stage alone."""

    flat: Sequence[Sequence[tuple[int, int]]]
    """Number of the moment among those of all people, and of the picture, for each step and person."""
    people: Int[Tensor, "num_steps num_drawn"]
    moments: Int[Tensor, "num_steps num_drawn"]
    backgrounds: Float[Tensor, "num_steps num_drawn 3"]


class Film:
    """All people at all their moments.

    Args:
        people: rigs.
        moments: of all people, those of a person together, the canonical one first.
        expressions: the code that is learned from them.
        codes: of each moment.
    """

    def __init__(
        self,
        people: Sequence[_Person],
        moments: Sequence[_Moment],
        expressions: ExpressionCode,
        codes: Float[Tensor, "num_moments num_expression"],
    ) -> None:
        self._people, self._moments = people, moments
        self.expressions, self.codes = expressions, codes
        self._of_person = [[i for i, m in enumerate(moments) if m.person == p] for p in range(len(people))]

    @property
    def any_moves(self) -> bool:
        """Whether any person has a moment besides the canonical one."""
        return len(self._moments) > len(self._people)

    def draw(self, steps: int, people_per_step: int, seed: int, moves: bool) -> Draws:
        """Return what the steps learn from: people in random order, each as often; canonical moments or all."""
        generator = torch.Generator().manual_seed(2 * seed + moves)
        count = min(people_per_step, len(self._people))
        rounds = -(-steps * count // len(self._people)) if steps else 0
        shuffled = [torch.randperm(len(self._people), generator=generator) for _ in range(rounds)]
        people = torch.cat([*shuffled, torch.zeros(0, dtype=torch.int64)])[: steps * count].tolist()
        chance = torch.rand(len(people), 2, generator=generator).tolist()
        flat = []
        for person, (which, picture) in zip(people, chance, strict=True):
            choices = self._of_person[person] if moves else self._of_person[person][:1]
            moment = choices[int(which * len(choices))]
            flat.append((moment, int(picture * len(self._moments[moment].frames))))
        device = self.codes.device
        return Draws(
            [flat[step * count : (step + 1) * count] for step in range(steps)],
            torch.tensor(people, dtype=torch.int64).reshape(steps, count).to(device),
            torch.tensor([moment for moment, _ in flat], dtype=torch.int64).reshape(steps, count).to(device),
            torch.rand(steps, count, 3, generator=generator).to(device),
        )

    def sitter(self, moment: int) -> Sitter:
        """Return a person at one moment, without pictures."""
        found = self._moments[moment]
        person = self._people[found.person]
        return Sitter(PosedPlaces(person.places, found.vertices, person.triangles), (), person.background)

    def pixels(self, moment: int, picture: int) -> tuple[UInt8[Tensor, "h w 3"], UInt8[Tensor, "h w 1"]]:
        """Return a picture and its mask from the disk."""
        found = self._moments[moment]
        person = self._people[found.person]
        return frame_pixels(found.frames[picture], person.options.downscale_factor, person.ground)

    def shot(self, moment: int, picture: int, pixels: tuple[UInt8[Tensor, "h w 3"], UInt8[Tensor, "h w 1"]]) -> Shot:
        """Return a picture with its camera, on the device."""
        color, mask = (sent(each, self.codes.device).float() / 255 for each in pixels)
        return Shot(self._moments[moment].cameras[picture], color, mask)


def pictures_ahead(film: Film, draws: Draws, start: int) -> Iterator[list[Shot]]:
    """Yield the pictures of each step from ``start`` on; a thread reads those of the next step meanwhile."""
    steps = draws.flat[start:]
    if not steps:
        return

    def read(drawn: Sequence[tuple[int, int]]) -> list[tuple[UInt8[Tensor, "h w 3"], UInt8[Tensor, "h w 1"]]]:
        return [film.pixels(*each) for each in drawn]

    with ThreadPoolExecutor(1, thread_name_prefix="pictures") as reader:
        ahead = reader.submit(read, steps[0])
        for number, drawn in enumerate(steps):
            pixels = ahead.result()
            if number + 1 < len(steps):
                ahead = reader.submit(read, steps[number + 1])
            yield [film.shot(*each, own) for each, own in zip(drawn, pixels, strict=True)]


def film_people(
    captures: Sequence[CaptureOptions], num_places: int, length: int, most: int, device: torch.device | str
) -> Film:
    """Return the people of some captures at their training moments, and the code of their expressions.

    Captures with true surfaces (`TRUTH`) choose what the code holds; without any, the motion alone does.

    Args:
        captures: one per person.
        num_places: of the atlas.
        length: of the expression code.
        most: largest number of moments of each person besides the canonical one.
        device: where steps run.

    Raises:
        SageError: a capture cannot be used, or its truth is broken.
    """
    people, moments, motions, offsets = [], [], [], []
    rows = probes(reference_atlas(num_places))
    with tracked(list(enumerate(captures)), "Posing people") as shown:
        for number, options in shown:
            record, frames = training_moments(options, most)
            model = record.head_model
            places = places_on(reference_atlas(num_places), reference_head(), model)
            params = record.flame_params[torch.searchsorted(record.timesteps, torch.tensor(list(frames)))]
            with torch.no_grad():
                posed = pose_vertices(model, params)
                motions.append(face_motion(model, params, places, rows))
            offsets.append(_true_offsets(options, model, places, rows, list(frames), posed))
            people.append(
                _Person(
                    options,
                    places.to(device),
                    model.triangles.to(device),
                    record.background.to(device),
                    record.background,
                )
            )
            for vertices, seen in zip(posed, frames.values(), strict=True):
                cameras = [frame_camera(frame, options.downscale_factor).to(device) for frame in seen]
                moments.append(_Moment(number, vertices.to(device), seen, cameras))
    expressions = learn_expression_code(motions, offsets, length)
    return Film(people, moments, expressions, torch.cat([expressions.code(motion) for motion in motions]).to(device))


def _true_offsets(
    options: CaptureOptions, model: HeadModel, places: RigPlaces, rows: Int[Tensor, "num_probes"],
    timesteps: Sequence[int], posed: Float[Tensor, "num_timesteps num_vertices 3"],
) -> Float[Tensor, "num_timesteps num_probes 3"] | None:  # fmt: skip
    """Return the offsets from places to the nearest points of the true surface [metres, axes of the places]."""
    path = options.data.joinpath(*TRUTH)
    if not path.is_file() or not set(timesteps) <= set(true_timesteps(path)):
        return None
    found = []
    few = RigPlaces(places.triangle[rows], places.barycentric[rows], places.turn[rows])
    for timestep, vertices in zip(timesteps, posed, strict=True):
        at = PosedPlaces(few, vertices, model.triangles)
        found.append(surface_offsets(at, Truth.load(path, timestep)))
    return torch.stack(found)


def surface_offsets(places: PosedPlaces, truth: Truth) -> Float[Tensor, "num_places 3"]:
    """Return the offsets from places to the nearest points of a true surface [metres, axes of the places]."""
    vertices, triangles = truth.mesh.vertices, truth.mesh.triangles
    found = TriangleMesh(vertices, triangles).closest(places.points)
    nearest = barycentric_to_points(vertices, triangles, found.triangle, found.barycentric)
    return torch.einsum("nji,nj->ni", places.axes, nearest - places.points)
