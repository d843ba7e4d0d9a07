"""The driving bank: moments of motion that the self-supervised phase poses the avatar at.

The bank provides expression, jaw, eyes and neck. Global rotation and translation stay those of the canonical moment,
where the training cameras look at the head.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.errors import CaptureError
from sage_ns.motion.expression_walk import GENERATED, expression_walk
from sage_ns.motion.face.moves import face_moves
from sage_ns.motion.files import MotionSplit, load_motion
from sage_ns.motion.limits import MotionLimits, bounded
from sage_ns.motion.motion import Motion, joined
from sage_ns.rig import FlameParams
from sage_ns.system.console import console, escape

if TYPE_CHECKING:
    from sage_ns.motion.source import MotionSource
    from sage_ns.rig import HeadModel

BESIDE_CAPTURE = ("driving_bank.npz", "expressions.npz", "driver/sequence.npz", "driver/flame_param")
"""Paths in a capture folder where its bank may lie; the first one that exists is used."""
NUM_TAKES, TAKE_LENGTH = 8, 120
"""Number of takes that the generator makes, and moments per take."""
SAME_MOMENT = 1e-3
"""Radians, or expression units: two moments count as the same if no coefficient differs by more. Rounding in files is
smaller, and the difference of neighbouring video frames is larger."""


@dataclass(frozen=True, eq=False)
class DrivingBank:
    """Moments to pose an avatar at, grouped into sequences."""

    motion: Motion
    """One row per moment, on the CPU; fits the avatar's rig. Its notes list what was clamped or lost on reading."""
    sources: tuple[str, ...]
    """Source of every sequence."""
    limits: MotionLimits
    """Limits that the motion was clamped to."""

    @property
    def num_moments(self) -> int:
        """Number of moments."""
        return self.motion.num_rows

    @property
    def num_coefficients(self) -> int:
        """Length of a motion vector: 18 pose numbers and the rig's expression coefficients."""
        return self.motion.vectors.shape[1]

    @classmethod
    def from_sources(
        cls, sources: Sequence[Path | str], canonical: Float[Tensor, "num_coefficients"], model: HeadModel,
        split: MotionSplit = "all",
    ) -> DrivingBank:  # fmt: skip
        """Load a bank of recorded motion.

        Args:
            sources: Folders and files that `load_motion` reads.
            canonical: Motion vector of the avatar's canonical moment.
            model: The avatar's head model. Parameters beyond its limits (`MotionLimits`) are clamped with a note.
            split: "train" leaves out moments that only the test split of a source lists.

        Raises:
            CaptureError: No source is given, or one cannot be read.
            FlameParamsError: A source does not fit the head model.
        """
        if not sources:
            raise CaptureError("driving bank: no sources given; name a folder or file, or use the built-in generator")
        return _assembled([load_motion(source, model, split) for source in sources], canonical, model)

    @classmethod
    def generated(
        cls, canonical: Float[Tensor, "num_coefficients"], model: HeadModel, seed: int = 0, num_takes: int = NUM_TAKES
    ) -> DrivingBank:
        """Make a bank of generated motion (`expression_walk`) with `num_takes` takes of ten seconds."""
        model = model.to("cpu")
        face = face_moves(model)
        takes = [expression_walk(model, TAKE_LENGTH, seed * 1000 + take, face) for take in range(num_takes)]
        return _assembled(takes, canonical, model)

    @classmethod
    def for_capture(
        cls, data_dir: Path | str, model: HeadModel, capture: MotionSource, test_timesteps: Int[Tensor, "num_test"],
        sources: Sequence[Path | str] = (), seed: int = 0,
    ) -> DrivingBank:  # fmt: skip
        """Load or generate the bank for the avatar of a capture, without test moments, and print its sources.

        Args:
            data_dir: The capture's folder. Without `sources`, the first path of `BESIDE_CAPTURE` in it is loaded.
            model: The avatar's head model.
            capture: The capture's motion and canonical moment.
            test_timesteps: Timestep ids of the capture's test split.
            sources: Motion to load instead.
            seed: Seed of the generator, which makes the motion if there are neither sources nor files.

        Raises:
            CaptureError: A source cannot be read, or it contains the capture's test moments.
            FlameParamsError: A source does not fit the head model.
        """
        beside = [Path(data_dir) / name for name in BESIDE_CAPTURE]
        chosen = list(sources) or [path for path in beside if os.path.lexists(path)][:1]
        canonical = capture.canonical()
        bank = cls.from_sources(chosen, canonical, model) if chosen else cls.generated(canonical, model, seed)
        bank.refuse_test_timesteps(capture, test_timesteps)
        bank.report()
        return bank

    def draw(self, generator: torch.Generator) -> Float[Tensor, "num_coefficients"]:
        """Draw a random motion vector: a moment, moved by up to half a step towards a neighbour in its sequence.

        All times of all sequences are equally likely: the distribution is continuous in time.

        Args:
            generator: Random generator, on the CPU; the method draws two numbers from it.
        """
        row = int(torch.randint(self.num_moments, (), generator=generator))
        offset = float(torch.rand((), generator=generator)) - 0.5
        neighbour = row + (1 if offset > 0 else -1)
        vectors, sequences = self.motion.vectors, self.motion.sequences
        if not 0 <= neighbour < self.num_moments or sequences[neighbour] != sequences[row]:
            return vectors[row]
        ends = FlameParams.from_motion_vector(vectors[[row, neighbour]])
        return ends.interpolate(torch.tensor([abs(offset)])).motion_vector()[0]

    def refuse_test_timesteps(self, capture: MotionSource, test_timesteps: Int[Tensor, "num_test"]) -> None:
        """Check that the bank contains no moment of the capture's test split.

        Pose (from the neck on) and expression are compared, independent of the file that they came from. Test moments
        that equal the canonical moment are allowed, because the avatar is trained on that moment anyway.

        Raises:
            CaptureError: The bank contains test moments. The message names the source, its timestep, the test timestep
                and the number of test moments found.
        """
        is_test = torch.isin(capture.timesteps, test_timesteps.to(capture.timesteps))
        ids = capture.timesteps[is_test].tolist()
        bank = self.motion.vectors[:, FlameParams.FROM_NECK]
        tested = self.limits.clamp(capture.motion[is_test].cpu())[0][:, FlameParams.FROM_NECK]
        canonical = capture.canonical().cpu()[FlameParams.FROM_NECK]
        found: list[tuple[int, int]] = []
        for timestep, moment in zip(ids, tested, strict=True):
            if float((moment - canonical).abs().max()) >= SAME_MOMENT:
                same = ((bank - moment).abs().amax(dim=1) < SAME_MOMENT).nonzero().flatten().tolist()
                found += [(timestep, row) for row in same[:1]]
        if found:
            timestep, row = found[0]
            source = self.sources[int(self.motion.sequences[row])]
            raise CaptureError(
                f"driving bank: timestep {int(self.motion.timesteps[row])} of {source} is the "
                f"capture's test timestep {timestep} ({len(found)} of {len(ids)} test timesteps are in the bank). "
                "Training must not see test motion: give motion of other sequences, or write a bank of the training "
                "moments with `sage-capture bank OUT.npz --sources FOLDER --split train`."
            )

    def report(self) -> None:
        """Print the bank's size and sources, and its notes."""
        console().print(f"Driving bank: {escape(self.summary())}")
        for note in self.motion.notes:
            console().print(f"[yellow]Driving bank: {escape(note)}[/yellow]")

    def summary(self) -> str:
        """Return the numbers of moments and sequences and the sources as one line."""
        names = ["built-in generator" if name == GENERATED else name for name in dict.fromkeys(self.sources)]
        return f"{self.num_moments} moments in {len(self.sources)} sequence(s) from {', '.join(names)}"

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return the smallest and largest value of each kind of parameter: radians, and expression units."""
        params = self.motion.params
        kinds = {
            "jaw opening": params.jaw_pose[:, 0],
            "jaw sideways": params.jaw_pose[:, 1:],
            "neck": params.neck_pose,
            "eyes": params.eyes_pose,
            "expression": params.expr,
        }
        return {name: (float(values.min()), float(values.max())) for name, values in kinds.items() if values.numel()}

    def save(self, path: Path | str) -> None:
        """Write an npz file that `load_motion` can read."""
        self.motion.save(path)


def _assembled(
    motions: Sequence[Motion], canonical: Float[Tensor, "num_coefficients"], model: HeadModel
) -> DrivingBank:
    """Join motions: clamp them, set the canonical moment's translation and rotation, number the sequences anew."""
    canonical = canonical.detach().cpu()
    moments: list[Motion] = []
    sources: list[str] = []
    for motion in (bounded(motion, model) for motion in motions):
        vectors = motion.params.motion_vector().cpu()
        vectors[:, FlameParams.HEAD] = canonical[FlameParams.HEAD]
        moments.append(replace(motion, params=FlameParams.from_motion_vector(vectors)))
        sources += [str(motion.source)] * len(motion.sequences.unique())
    whole = joined(moments, ", ".join(dict.fromkeys(sources)))
    return DrivingBank(whole, tuple(sources), MotionLimits.of(model))
