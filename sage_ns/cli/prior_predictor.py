"""``sage-prior learn-predictor``: a network that says which head a picture shows, from drawn people and clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from sage_ns.cli.head_models import head_model_or_builtin
from sage_ns.errors import OptionError, SageError
from sage_ns.priors.predictor_size import PredictorSize
from sage_ns.system.console import escape

if TYPE_CHECKING:
    from sage_ns.priors.predictor_clips import ClipFrames
    from sage_ns.rig import HeadModel

PREDICTOR = "predictor"


@dataclass
class LearnPredictor:
    """Learn to predict a head from a picture: FLAME parameters, light and surfels, for sage-track --predictor.

    First people of your head model are drawn, of whom everything is known. With --clips, the network then learns from
    captures without their tracking: one frame of a person, moved as another one, has to look like that. What is drawn
    is kept in a folder beside the predictor, and so is the state of learning: a run that was stopped goes on.
    """

    output: Annotated[Path, tyro.conf.Positional]
    """npz file to write"""
    head_model: Path | None = None
    """head model file; a predictor knows this one alone. Default: the one that SAGE_HEAD_MODEL names, else the built-in
    head"""
    people: int = 300
    """people to draw"""
    pictures: int = 24
    """pictures of each person, each in a pose of its own"""
    clips: tuple[Path, ...] = ()
    """folders of captures in VHAP's layout, with masks, one person each: further learning without their tracking"""
    moments: int = 60
    """most training moments of each of these captures"""
    downscale_factor: int = 1
    """average blocks of this many pixels of these captures along each side"""
    size: PredictorSize = field(default_factory=PredictorSize)
    """sizes of the networks"""
    steps: int = 6000
    """optimiser steps on drawn people"""
    clip_steps: int = 2000
    """optimiser steps on clips"""
    batch: int = 32
    """drawn pictures in a step"""
    seed: int = 0
    """random seed of people, weights and steps"""
    device: str = "cpu"
    """where to learn: cpu or cuda"""
    overwrite: bool = False
    """replace an existing file"""

    def run(self, console: Console) -> None:
        """Draw people, learn, and write the predictor."""
        from sage_ns.priors.predictor import Predictor
        from sage_ns.priors.predictor_learning import PredictorLearning, PredictorTraining, learn_predictor
        from sage_ns.priors.predictor_pictures import ROOM, draw_people
        from sage_ns.priors.predictor_rig import CROP_OF_BOX, SkinPlaces, used_directions
        from sage_ns.system.files import refuse_existing
        from sage_ns.system.progress import progress_bar
        from sage_ns.tracking.face_landmarker import load_face_landmarker
        from sage_ns.tracking.rig_embedding import embedding_on

        self.check()
        refuse_existing([self.output], self.overwrite)
        model = head_model_or_builtin(self.head_model).to("cpu")
        embedding = embedding_on(model, load_face_landmarker())
        landmarks = SkinPlaces(embedding.triangle, embedding.barycentric)
        directions = used_directions(model, self.size.directions)
        work = self.output.with_suffix(".learning")
        side = 2 * round(0.5 * self.size.side * ROOM / CROP_OF_BOX)
        with progress_bar("drawing people") as bar:
            heads = draw_people(
                model, landmarks, directions, self.people, self.pictures, side, work / "people", bar, self.seed
            )
        clips = self._clips(model)
        predictor = Predictor.fresh(self.size, model, landmarks, directions, self.seed)
        learning = PredictorLearning(self.steps, self.clip_steps, self.batch, seed=self.seed)
        training = PredictorTraining(predictor, model, heads, clips, learning, self.device)
        key = repr((predictor.rig, self.people, self.pictures, self.clips, self.moments, self.downscale_factor))
        learned = learn_predictor(training, work / "state.pt", key)
        error = training.to("cpu").held_out_error()
        size = learned.save(self.output)
        console.print(
            f"predictor   {escape(str(self.output))}: {learned.num_people} drawn people, {learned.num_clips} captures, "
            f"{size / 1e6:.1f} MB, for the head model '{escape(model.name)}'",
            soft_wrap=True,
        )
        console.print(
            f"held out    {training.num_held_out} drawn people: head off by {error.still:.1f} mm, turned by "
            f"{error.rotation:.1f} degrees on average",
            soft_wrap=True,
        )

    def _clips(self, model: HeadModel) -> ClipFrames | None:
        """Return the frames of the captures; None if there are none."""
        if not self.clips:
            return None
        from sage_ns.capture.checked import CaptureOptions
        from sage_ns.priors.predictor_clips import read_clips
        from sage_ns.system.progress import progress_bar
        from sage_ns.tracking.choice import fault_of_face
        from sage_ns.tracking.face_landmarker import load_face_landmarker

        detect = load_face_landmarker()

        def find(picture):
            sure = [face.points[:, :2] for face in detect(picture) if fault_of_face(face) is None]
            return sure[0] if sure else None

        captures = [CaptureOptions(folder, downscale_factor=self.downscale_factor) for folder in self.clips]
        with progress_bar("finding faces in clips") as bar:
            return read_clips(captures, find, self.size.side, self.moments, bar)

    def check(self) -> None:
        """Check all settings.

        Raises:
            SageError: a setting is out of range; names the setting, its value and the range.
        """
        from sage_ns.system.devices import check_device

        limits = {"people": (1, 1_000_000), "pictures": (1, 10_000), "moments": (1, 100_000),
                  "downscale_factor": (1, 64), "steps": (1, 10_000_000), "clip_steps": (0, 10_000_000),
                  "batch": (1, 4096)}  # fmt: skip
        for name, (low, high) in limits.items():
            found = getattr(self, name)
            if not low <= found <= high:
                raise OptionError(f"expected {low} to {high}", **{name: found})
        check_device(self.device)
        if (fault := self.size.fault()) is not None:
            raise SageError(f"--size: {fault}.")
        if self.output.suffix != ".npz":
            raise SageError(f"{self.output}: the predictor is an npz file; give a name that ends in .npz")
