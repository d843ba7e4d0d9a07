"""Learn a predictor: first from drawn people, whose truth is known, then from captures by drawing what it predicts.

Stage 1: squares of drawn people in random light, before random backgrounds (`sage_ns.priors.predictor_augment`); the
guess is compared with the truth, and surfels on the true mesh with the picture. Stage 2, as SHeaP (arXiv 2504.12292)
does: identity and surfels of one frame, moved and lit as another frame of the same person is predicted to be, are drawn
and compared with that frame. No step waits for the device. A stopped run goes on, and equals an unbroken one.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from sage_ns.capture.images import recomposite
from sage_ns.geometry.rotations import axis_angle_to_matrix, degrees_between
from sage_ns.priors.learning_state import keep_state, resume_state
from sage_ns.priors.predictor import Predictor
from sage_ns.priors.predictor_augment import Seen, chances, seen
from sage_ns.priors.predictor_clips import ClipFrames, square_camera, square_intrinsics
from sage_ns.priors.predictor_losses import (
    PredictorWeights,
    Terms,
    coefficients,
    distance,
    head_terms,
    landmark_distance,
    surfel_terms,
    weighed,
)
from sage_ns.priors.predictor_pictures import DrawnHeads
from sage_ns.priors.predictor_rig import HeadGuess, flame_params
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.system.devices import sent
from sage_ns.system.parallel import cores_for_kernels
from sage_ns.system.progress import tracked

_WARM = 50
"""Steps over which the learning rate rises."""
_FINAL_RATE = 0.02
"""Learning rate at the last step of a stage, relative to its first."""
_CLIP_RATE = 0.2
"""Learning rate of stage 2, relative to that of stage 1."""
_LARGEST_STEP = 1.0
"""Norm to which gradients are shortened."""
_WEIGHT_DECAY = 1e-2
_HELD_OUT = 0.05
"""Share of the drawn people who are not learned from."""


@dataclass(frozen=True)
class PredictorLearning:
    """How a predictor is learned."""

    steps: int
    """Of stage 1."""
    clip_steps: int = 0
    """Of stage 2."""
    batch: int = 32
    """Drawn pictures in a step."""
    drawn: int = 1
    """Of them, those whose surfels are drawn; pairs of frames in a step of stage 2."""
    rate: float = 1e-3
    seed: int = 0
    kept_every: int = 200
    """Steps between two savings of the state."""
    weights: PredictorWeights = field(default_factory=PredictorWeights)


@dataclass(frozen=True)
class HeldOutError:
    """Errors of a predictor on drawn people who were not learned from, means."""

    posed: float
    """Millimetres of landmarks and vertices around the middle of the face, with the head's rotation."""
    still: float
    """Millimetres without the rotation."""
    rotation: float
    """Degrees."""


class PredictorTraining:
    """What Adam changes, and its steps.

    Args:
        predictor: networks, which are changed.
        model: their head model.
        heads: drawn people.
        clips: frames of captures; None = stage 2 is left out.
        learning: steps and rates.
        device: where to learn.
    """

    def __init__(
        self,
        predictor: Predictor,
        model: HeadModel,
        heads: DrawnHeads,
        clips: ClipFrames | None,
        learning: PredictorLearning,
        device: torch.device | str,
    ) -> None:
        self.predictor, self.learning, self.device = predictor.to(device), learning, torch.device(device)
        self.places = predictor.surfel_places(model).to(device)
        self.rig, self.model = predictor.rig_of(model).to(device), model.to(device)
        people = int(heads.person.max()) + 1
        last = people - max(1, round(_HELD_OUT * people)) if people > 1 else people
        self.known = (heads.person < last).nonzero()[:, 0]
        self.held_out = heads.rows((heads.person >= last).nonzero()[:, 0])
        self.heads = heads.to(device)
        self.clips = None if clips is None else clips.to(device)
        self.white = torch.ones(3, device=self.device)
        weights = [each for network in (predictor.head, predictor.surfels) for each in network.parameters()]
        # eps: colours and surfels have small gradients, which the default of Adam would not follow.
        self.optimizer = torch.optim.AdamW(weights, learning.rate, eps=1e-12, weight_decay=_WEIGHT_DECAY)
        self.values = weights

    @property
    def num_held_out(self) -> int:
        """Number of drawn people who are not learned from."""
        return len(self.held_out.person.unique())

    def to(self, device: torch.device | str) -> PredictorTraining:
        """Move what `held_out_error` needs to a device."""
        self.predictor.to(device)
        self.rig, self.device = self.rig.to(device), torch.device(device)
        return self

    @property
    def num_steps(self) -> tuple[int, int]:
        """Steps of both stages."""
        return self.learning.steps, self.learning.clip_steps if self.clips is not None else 0

    def step(self, number: int) -> Terms:
        """Change everything a little; what is drawn depends on the seed and the number of the step alone."""
        first = self.learning.steps
        stage, done = (0, number) if number < first else (1, number - first)
        generator = torch.Generator().manual_seed(self.learning.seed * 1_000_003 + number)
        terms = self.clip_terms(generator) if stage else self.drawn_terms(generator)
        fall = _FINAL_RATE ** (done / max(self.num_steps[stage], 1))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning.rate * fall * min(1.0, (done + 1) / _WARM) * (_CLIP_RATE if stage else 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        weighed(terms, self.learning.weights).backward()
        torch.nn.utils.clip_grad_norm_(self.values, _LARGEST_STEP)
        self.optimizer.step()
        return terms

    def drawn_terms(self, generator: torch.Generator) -> Terms:
        """Return the losses of some drawn pictures."""
        rows = self.known[torch.randint(len(self.known), (self.learning.batch,), generator=generator)]
        heads = self.heads.rows(sent(rows, self.device))
        shown = seen(heads, chances(len(rows), generator).to(self.device), self.predictor.size.side)
        background = sent(torch.rand(3, generator=generator), self.device)
        guess, person = self.predictor.head(shown.pictures)
        terms = head_terms(guess, self.truth(heads, shown), self.rig, shown.camera)
        count = min(self.learning.drawn, len(rows))
        outputs = self.predictor.surfels(person[:count], self.places.neighbours)
        axes, side = shown.camera.to_ray(), self.predictor.size.side
        intrinsics = square_intrinsics(shown.camera, side)
        drawn = []
        for row in range(count):
            vertices = pose_vertices(self.model, heads.params(row))[0]
            placed = self.places.place(self.places.surfels(outputs[row]), vertices, shown.light[row], axes[row])
            camera = square_camera(intrinsics[row], side)
            drawn.append(surfel_terms(placed, camera, shown.clean[row], shown.cover[row], background))
        return terms | _mean(drawn)

    def clip_terms(self, generator: torch.Generator) -> Terms:
        """Return the losses of some pairs of frames."""
        clips = self.clips
        assert clips is not None
        pairs = sent(clips.pairs(self.learning.drawn, generator), self.device)
        backgrounds = sent(torch.rand(2, self.learning.drawn, 3, generator=generator), self.device)
        count, flat = pairs.shape[1], pairs.flatten()
        masks = clips.masks[flat].float() / 255
        pictures = clips.pictures[flat].float() / 255
        behind = backgrounds.flatten(0, 1)[:, None, None]
        shown = recomposite(pictures, masks, self.white, behind)
        guess, person = self.predictor.head(shown)
        cameras = clips.cameras(flat)
        landmarks = cameras.within(self.rig.located(guess, cameras).points[:, : self.rig.num_landmarks])
        terms = {"landmarks": landmark_distance(landmarks, clips.landmarks[flat]), "coefficients": coefficients(guess)}
        moved = replace(guess.rows(slice(count, None)), shape=guess.shape[:count])
        targets = clips.cameras(pairs[1])
        heads, axes = self.rig.located(moved, targets), targets.to_ray()
        outputs = self.predictor.surfels(person[:count], self.places.neighbours)
        drawn = []
        for row in range(count):
            vertices = pose_vertices(self.model, flame_params(moved, heads, self.model, row))[0]
            placed = self.places.place(self.places.surfels(outputs[row]), vertices, moved.light[row], axes[row])
            mask, background = masks[count + row], backgrounds[1, row]
            clean = shown[count + row] - (1 - mask) * background
            drawn.append(surfel_terms(placed, clips.drawing_camera(pairs[1, row]), clean, mask, background))
        return terms | _mean(drawn)

    def truth(self, heads: DrawnHeads, shown: Seen) -> HeadGuess:
        """Return what the network should say of drawn pictures."""
        truth = heads.truth(shown.camera, self.rig.num_shape, self.rig.num_expression)
        rotation = axis_angle_to_matrix(heads.rotation)
        # The translation moves the head, whose landmarks have their mean where the place is.
        middle = self.rig.middle(truth, rotation) + heads.translation
        return replace(truth, place=shown.camera.place(middle), light=shown.light)

    @torch.no_grad()
    def held_out_error(self) -> HeldOutError:
        """Return the errors on the drawn people who are not learned from, each picture as it is augmented once."""
        heads = self.held_out.to(self.device)
        drawn = chances(len(heads), torch.Generator().manual_seed(self.learning.seed)).to(self.device)
        shown = seen(heads, drawn, self.predictor.size.side)
        guess, _ = self.predictor.head(shown.pictures)
        truth = self.truth(heads, shown)
        found, true = (self.rig.located(each, shown.camera) for each in (guess, truth))
        points, true_points = (each.around_face(self.rig.num_landmarks) for each in (found, true))
        return HeldOutError(
            posed=1e3 * float(distance(points, true_points)),
            still=1e3 * float(distance(points @ found.rotation, true_points @ true.rotation)),
            rotation=float(degrees_between(found.rotation, true.rotation).mean()),
        )


def learn_predictor(training: PredictorTraining, state: Path, key: str) -> Predictor:
    """Do all steps of a training, and return its predictor on the CPU.

    Args:
        training: networks and what they learn from.
        state: file of a stopped run's state.
        key: what identifies the data; a state of other data or settings is not used.

    Raises:
        WriteError: the state cannot be written.
    """
    learning = training.learning
    total = sum(training.num_steps)
    key = hashlib.sha256(repr((key, learning, training.predictor.size)).encode()).hexdigest()[:32]
    start = resume_state(state, key, training.values, training.optimizer)
    with (
        cores_for_kernels() if training.device.type == "cpu" else nullcontext(),
        tracked(range(start, total), "Learning the predictor") as shown,
    ):
        for number in shown:
            training.step(number)
            if (number + 1) % learning.kept_every == 0 or number + 1 == total:
                keep_state(state, key, number + 1, training.values, training.optimizer)
    people = int(training.heads.person.max()) + 1
    clips = 0 if training.clips is None or not training.num_steps[1] else len(training.clips.first) - 1
    return replace(training.predictor.to("cpu"), num_people=people, num_clips=clips)


def _mean(drawn: list[Terms]) -> Terms:
    return {name: torch.stack([each[name] for each in drawn]).mean() for name in drawn[0]}
