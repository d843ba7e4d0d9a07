"""Truth of cross-reenactment: the synthetic person with another person's expressions, and that person's tracking.

The controls of the driver (expression names, jaw, neck, gaze) pose the capture's person, whom the studio's cameras
film. The parameters beside the pictures are those of the driver: its own identity, with the tracking error of the
capture. An avatar of the person that is driven by these parameters should look like the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from sage_ns.capture.layout import ALL_FRAMES
from sage_ns.capture.writer import write_transforms
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.synthetic.files import frame_of
from sage_ns.synthetic.head import builtin_head, builtin_identity
from sage_ns.synthetic.motion import Curves, joined, mistracked, perform, rest
from sage_ns.synthetic.regimes import FRONT_CAMERA
from sage_ns.synthetic.render import Person, StudioCamera
from sage_ns.synthetic.work import Job, film

if TYPE_CHECKING:
    from sage_ns.synthetic.studio import SyntheticCapture

DRIVER_SEED = 1000
"""The driver of person n is person n + this."""
_SIDE_CAMERA = 12


@dataclass(frozen=True, eq=False)
class CrossTruth:
    """What the studio films for the folder ``cross``. The first moment is neutral, for relative transfer."""

    person: Person
    jobs: tuple[Job, ...]
    curves: Curves
    """controls of the driver, one row per moment"""

    @classmethod
    def of(
        cls,
        settings: SyntheticCapture,
        person: Person,
        rig: HeadModel,
        shape: Float[np.ndarray, "num_shape"],
        arc: Mapping[int, StudioCamera],
    ) -> CrossTruth:
        """Plan the pictures: ``settings.num_cross_timesteps`` moments of the driver after the neutral one, two cameras.

        Args:
            settings: settings of the capture.
            person: the capture's person.
            rig: the rig that poses it.
            shape: its identity.
            arc: cameras of the capture by index.
        """
        model = builtin_head()
        motion = perform(model, "driver", settings.num_cross_timesteps, settings.seed + DRIVER_SEED)
        curves = joined(rest(model), motion)
        with torch.no_grad():
            posed = pose_vertices(rig, curves.params(shape)).numpy()
        side = _SIDE_CAMERA if _SIDE_CAMERA in arc else next(index for index in arc if index != FRONT_CAMERA)
        cameras = {index: arc[index] for index in sorted((FRONT_CAMERA, side))}
        jobs = tuple(Job(t, posed[t], curves.expr[t], cameras) for t in range(len(posed)))
        return cls(person, jobs, curves)

    @property
    def num_pictures(self) -> int:
        """Number of pictures to film."""
        return sum(len(job.cameras) for job in self.jobs)

    def write(self, folder: Path, settings: SyntheticCapture, progress: Callable[[int, int], None]) -> None:
        """Film the pictures and write them with the driver's parameters, in the layout of a capture without splits.

        Args:
            folder: folder to create.
            settings: settings of the capture.
            progress: called with (pictures done, pictures in total).
        """
        folder.mkdir()
        film(folder, self.person, list(self.jobs), settings.workers, progress)
        driver = builtin_identity(settings.seed + DRIVER_SEED + 1).numpy()
        written = mistracked(self.curves, settings.tracking_error, settings.seed + DRIVER_SEED).params(driver)
        offset = torch.zeros(builtin_head().num_vertices, 3)
        replace(written, static_offset=offset).save_vhap(folder / "flame_param")
        frames = [
            frame_of(folder, job.timestep, index, camera) for job in self.jobs for index, camera in job.cameras.items()
        ]
        write_transforms(folder, {ALL_FRAMES: frames})
        about = "The pictures show the person of the capture. flame_param/ is the driver's, with the driver's identity."
        (folder / "about.json").write_text(json.dumps({"about": about, "neutral_timestep": 0}, indent=1) + "\n")
