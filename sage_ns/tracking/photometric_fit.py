"""Refine a head that was fitted to landmarks on the colours of the picture: analysis by synthesis.

The people of a prior are surfels on the skin of the head model (`sage_ns.priors`). They are bound to the posed rig with
their normals along its normals, so that surface and surfels cannot part. Their drawing is compared with the picture:
first in few pixels, then in more. Three steps alternate: the light of the room in closed form, the person by the code
of the prior, and the unknowns of the landmark fit by Levenberg-Marquardt on colours, coverage, landmarks and the
spreads of people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.atlas import LABELS, places_on
from sage_ns.avatar.atlas_surfels import PosedPlaces
from sage_ns.capture.shot import Shot
from sage_ns.priors.code_fit import CodeFitSettings, fit_code
from sage_ns.priors.coded import CodedPrior
from sage_ns.priors.sitter import Sitter, reference_atlas, reference_head
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.tracking.embedding import Embedding
from sage_ns.tracking.face import Face, width_of_face
from sage_ns.tracking.focal import FocalLength
from sage_ns.tracking.joint_fit import ERROR_OF_A_LANDMARK, KnownCamera, Sighting, landmark_problem
from sage_ns.tracking.joint_problem import JointProblem
from sage_ns.tracking.landmark_fit import HeadFit, head_at
from sage_ns.tracking.landmark_rig import LandmarkRig
from sage_ns.tracking.lit_person import Drawing, LitPerson, PersonOnRig, fitted_light, lit
from sage_ns.tracking.picture_level import PictureLevel, picture_level
from sage_ns.tracking.picture_pulls import PictureNoise, differences, pulls, robust_sum, shown_places
from sage_ns.tracking.window import Window

COUNTS: Mapping[str, float] = {"face": 1.0, "hair": 0.1, "neck": 0.5, "ears": 2.0, "eyes": 1.0, "lips": 1.5}
"""Weight of the pixels that show a part of the head: the hair of the prior's people is soft and says little; ears lie
far behind the face and tell how it nods, which landmarks do not know."""
_REACH = 0.06
"""Of the face's width: pixels farther from all places that are seen do not count."""
_SHOWN, _INSIDE = 0.02, 0.9
"""Coverage from which on a pixel counts, drawn or in the picture, and that from which on the light is fitted to it."""
_FIRST_DAMPING, _LEAST_DAMPING, _FALL, _RISE, _MOST_TRIES = 1e-3, 1e-4, 0.2, 8.0, 5
"""Of a step, as in `sage_ns.tracking.least_squares`; the drawing is not smooth: little damping misleads."""
_CONVERGED = 1e-3
"""Relative gain of a step at which a round ends."""


@dataclass(frozen=True)
class PhotometricSettings:
    """How a head is refined on a picture."""

    widths: tuple[float, ...] = (50.0, 100.0)
    """Widths of the face at which picture and drawing are compared, pixels."""
    rounds: int = 2
    """Rounds of light, person and head at each width."""
    steps: int = 5
    """Most steps of the head in a round."""
    code_steps: int = 0
    """Steps of the person in a round; 0 = the mean person of the prior."""
    noise: PictureNoise = field(default_factory=PictureNoise)
    landmarks: float = 0.25
    """Weight of the landmarks' term relative to the fit to landmarks alone."""
    num_places: int = 1500
    """About the number of places that are moved; pixels follow the nearest one."""
    counts: Mapping[str, float] = field(default_factory=lambda: COUNTS)
    """Weight of the pixels that show a part of the head (`sage_ns.avatar.atlas.LABELS`)."""
    light_ridge: float = 0.02
    """Pull of the light to one that comes from everywhere."""


@dataclass(frozen=True, eq=False)
class SeenHead:
    """A head that was fitted to the landmarks of a photo, and the window of the photo that shows it."""

    fit: HeadFit
    face: Face
    model: HeadModel
    embedding: Embedding
    focal: FocalLength
    """What was known about the focal length before the fit."""
    size: tuple[int, int]
    """Width and height of the photo."""
    window: Window
    picture: Float[np.ndarray, "height width 3"]
    """Of the window, on white, 0..1."""
    matte: Float[np.ndarray, "height width"]
    hidden: Float[np.ndarray, "height width"] | None = None
    """1 where something hides the head: these pixels do not count. None = nowhere."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """How well a head explains a picture."""

    energy: float
    """What the search lowers: robust differences from picture and landmarks, and the spreads of people."""
    color_off: float
    """Mean difference of colours over the parts of the head that count, 0..1."""
    drawing: Drawing


class PhotometricFit:
    """The search for a head that looks like its picture.

    Args:
        seen: where it starts.
        prior: knows what people look like.
        settings: of the search.

    Raises:
        RegistrationError: the head model is no head that the places of the prior can be carried to.
    """

    def __init__(self, seen: SeenHead, prior: CodedPrior, settings: PhotometricSettings) -> None:
        self.seen, self.prior, self.settings = seen, prior, settings
        self._atlas = reference_atlas(prior.num_places)
        places = places_on(self._atlas, reference_head(), seen.model)
        self._drawer = PersonOnRig(seen.model, places)
        self._face_width = width_of_face(seen.face)
        self._view = KnownCamera.at_rest(seen.focal.pixels, seen.size).view()
        self.rig = LandmarkRig(seen.model, seen.embedding)
        self._problem = landmark_problem(self.rig, [Sighting(0, 0, seen.face)], [self._view], seen.focal.spread)
        self.start: Float[Tensor, "num_unknowns"] = self.rig.unknowns_of(
            seen.fit.params, seen.fit.focal / seen.focal.pixels
        )
        """The head that was fitted to landmarks."""
        self.x: Float[Tensor, "num_unknowns"] = self.start
        """The head; `Unknowns` says what it consists of."""
        self.code = torch.zeros(prior.num_codes)
        self.person = LitPerson.in_plain_light(prior.attributes(self.code))
        self._counts = torch.tensor([settings.counts[name] for name in LABELS])[self._atlas.label]
        free = torch.ones(len(self.x), dtype=torch.bool)
        free[self.rig.unknowns.focal] = seen.focal.spread > 0
        self._free = free.nonzero()[:, 0]

    @torch.no_grad()
    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Search, from coarse to fine; `x` and `person` are then what was found.

        Args:
            progress: called with (rounds done, rounds in total).
        """
        total, done = len(self.settings.widths) * self.settings.rounds, 0
        for width in self.settings.widths:
            level = self.level(width)
            rows, moving = self._moving_places(level)
            for _ in range(self.settings.rounds):
                self.person = self.person_in_light(level, self.x)
                if done and self.settings.code_steps:
                    self._fit_person(level)
                    self.person = self.person_in_light(level, self.x)
                self._fit_head(level, rows, moving)
                done += 1
                progress(done, total)

    def level(self, width: float) -> PictureLevel:
        """Return the picture at a width of its face [pixels]."""
        seen = self.seen
        return picture_level(seen.picture, seen.matte, seen.window, seen.size, self._face_width, width, seen.hidden)

    def fit(self) -> HeadFit:
        """Return the head that was found."""
        seen = self.seen
        return head_at(self.rig, self.x, seen.model, seen.face, seen.focal, seen.size)

    def draw(self, level: PictureLevel, x: Float[Tensor, "num_unknowns"]) -> Drawing:
        """Return a head with the colours of the person."""
        return self._drawer.draw(self.person, self._vertices(x), level.camera(self._focal(x)))

    def person_in_light(self, level: PictureLevel, x: Float[Tensor, "num_unknowns"]) -> LitPerson:
        """Return the person in the light in which a head looks most like the picture."""
        vertices, camera = self._vertices(x), level.camera(self._focal(x))
        light = fitted_light(
            self._drawer.draw_harmonics(self.person, vertices, camera),
            self.draw(level, x).alpha,
            level.picture,
            self._weights(level, x) * (level.matte[..., 0] > _INSIDE),
            self.settings.noise.color,
            self.settings.light_ridge,
        )
        return replace(self.person, light=light)

    @torch.no_grad()
    def verdict(self, level: PictureLevel, x: Float[Tensor, "num_unknowns"]) -> Verdict:
        """Return how well a head explains picture and landmarks, in the light that suits it best."""
        person, camera = self.person_in_light(level, x), level.camera(self._focal(x))
        drawing = self._drawer.draw(person, self._vertices(x), camera)
        weight, noise = self._weights(level, x), self.settings.noise
        problem = self._landmarks_and_people(x)
        rest = problem.residuals(self._flat(x))
        energy = robust_sum(differences(drawing, level, noise), self._scaled(weight, level))
        off = (drawing.on_white - level.picture).abs().mean(dim=-1)
        return Verdict(
            energy + float((problem.weights(rest) * rest**2).sum()), float((weight * off).sum() / weight.sum()), drawing
        )

    def _fit_person(self, level: PictureLevel) -> None:
        """Find the code of the person, in the light that was found."""
        vertices, camera = self._vertices(self.x), level.camera(self._focal(self.x))
        posed = PosedPlaces(self._drawer.places, vertices, self.seen.model.triangles)
        counts = level.counts[..., None]
        shot = Shot(camera, level.picture, level.matte, steady=counts, confidence=counts)
        sitter = Sitter(posed, [shot], torch.ones(3))
        person = lit(self.prior.attributes, self._drawer.factors(self.person.light, vertices))
        settings = CodeFitSettings(steps=self.settings.code_steps, fine_from=1.0)
        with torch.enable_grad():
            found = fit_code(
                person, self.prior.num_codes, sitter, settings, torch.Generator().manual_seed(0), self.code
            )
        self.code = found.code
        self.person = LitPerson(self.prior.attributes(found.code), self.person.light * found.gain)

    def _moving_places(self, level: PictureLevel) -> tuple[Int[Tensor, "k"], LandmarkRig]:
        """Return the places that are moved, all of eyes and lips among them, and the rig reduced to them."""
        seen = self._drawer.seen(self.person, self._vertices(self.x), level.camera(self._focal(self.x)))
        rows = seen.nonzero()[:, 0]
        chosen = self._atlas.labelled("eyes", "lips")[rows]
        chosen[:: max(1, -(-len(rows) // self.settings.num_places))] = True
        rows, places = rows[chosen], self._drawer.places
        own = places.triangle[rows], places.barycentric[rows]
        on_skin = Embedding(*own, torch.ones(len(rows)), torch.zeros(len(rows), 3, 2))
        return rows, LandmarkRig(self.seen.model, on_skin)

    def _fit_head(self, level: PictureLevel, rows: Int[Tensor, "k"], moving: LandmarkRig) -> None:
        """Take steps of the unknowns, each of which lowers the energy."""
        damping, noise, counts = _FIRST_DAMPING, self.settings.noise, self._counts[rows]
        for _ in range(self.settings.steps):
            drawing = self.draw(level, self.x)
            pixels = level.pixels(moving.pixels(self.x, self._view))
            nearest, near = shown_places(pixels, level.size, _REACH * level.face_width)
            shown = torch.maximum(drawing.alpha, level.matte)[..., 0] > _SHOWN
            weight = self._scaled(counts[nearest] * (near & shown) * level.counts, level)
            form = pulls(drawing, level, nearest, weight, len(rows), noise)
            jacobian = moving.jacobian(self.x, self._view)[self._free].permute(1, 2, 0) * level.scale[:, None]
            normal, slope = form.normal_equations(jacobian)
            problem = self._landmarks_and_people(self.x)
            rest = problem.residuals(self._flat(self.x))
            derivatives = self._derivatives(problem)[:, self._free]
            robust = problem.weights(rest)
            normal = normal + (derivatives.T * robust) @ derivatives
            slope = slope - (derivatives.T * robust) @ rest
            before = robust_sum(differences(drawing, level, noise), weight) + float((robust * rest**2).sum())
            for _ in range(_MOST_TRIES):
                step = torch.linalg.solve(normal + damping * torch.diag(normal.diagonal().clamp_min(1e-9)), slope)
                tried = self.x.index_add(0, self._free, step)
                rest = problem.residuals(self._flat(tried))
                off = differences(self.draw(level, tried), level, noise)
                after = robust_sum(off, weight) + float((robust * rest**2).sum())
                if after < before:
                    break
                damping = max(damping, 1e-2) * _RISE
            else:
                return
            self.x, damping = tried, max(damping * _FALL, _LEAST_DAMPING)
            if before - after < _CONVERGED * before:
                return

    def _weights(self, level: PictureLevel, x: Tensor) -> Float[Tensor, "h w"]:
        """Return how much every pixel counts, by the part of the head that it shows; 0 where that is hidden."""
        camera = level.camera(self._focal(x))
        return level.counts * self._drawer.draw_values(self.person, self._vertices(x), camera, self._counts)

    def _scaled(self, weight: Float[Tensor, "h w"], level: PictureLevel) -> Float[Tensor, "h w"]:
        """Return weights whose sum over a face is the number of independent observations, over all four channels."""
        return weight * (self.settings.noise.observations / (4 * level.face_width**2))

    def _landmarks_and_people(self, x: Float[Tensor, "num_unknowns"]) -> JointProblem:
        """Return what `fit_landmarks` minimises, with less weight of the landmarks."""
        trust = self.settings.landmarks * self.seen.embedding.weight.double()
        unit = trust.new_tensor([ERROR_OF_A_LANDMARK * self._face_width])
        return self._problem.faced(self._flat(x), trust, unit)

    def _flat(self, x: Float[Tensor, "num_unknowns"]) -> Float[Tensor, "num_unknowns"]:
        return self._problem.layout.flat(x[None])

    def _derivatives(self, problem: JointProblem) -> Float[Tensor, "num_residuals num_unknowns"]:
        """Return the derivatives of the residuals of landmarks and people with respect to `x`."""
        pixels = self.rig.jacobian(self.x, self._view) * problem.root[0, :, None]
        people = torch.func.jacfwd(lambda x: problem.priors(self._flat(x)))(self.x)
        return torch.cat([pixels.flatten(1).T, people])

    def _vertices(self, x: Tensor) -> Float[Tensor, "num_vertices 3"]:
        return pose_vertices(self.seen.model, self.rig.whole(x, self.seen.model))[0]

    def _focal(self, x: Tensor) -> float:
        return self.seen.focal.pixels * float(x[self.rig.unknowns.focal].exp())
