"""The registry of trackers whose heads are read, and what a reader returns: FLAME parameters before a camera."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.errors import CaptureError, FlameParamsError
from sage_ns.geometry.rotations import axis_angle_to_matrix
from sage_ns.rig import FlameParams, HeadModel, check_plausible, identity_vertices
from sage_ns.rig.flame_versions import FlameVersion, check_flame
from sage_ns.system.registry import Registry
from sage_ns.system.user_files import check_regular

_MOST_EYELID = 10.0


@dataclass(frozen=True, eq=False)
class TrackedHeads:
    """Heads that a tracker has found in pictures, before its own camera, which is the world.

    The camera stands at the origin and looks along -z (x right, y up; metres). A head that looks at it has no rotation.
    """

    params: FlameParams
    """One row per picture; the shape is the mean over the pictures."""
    eyelids: Float[Tensor, "num_rows 2"]
    """Coefficients of the left and the right eyelid (0 open, 1 closed), which FLAME does not have."""
    frames: Int[Tensor, "num_rows"]
    """Numbers of the pictures, as the file states them; else 0, 1, 2 and so on."""
    source: Path
    program: str
    licence: str
    flame: FlameVersion
    """FLAME that the tracker has fitted."""
    pivot: Literal["root", "origin"] = "root"
    """What the head turns about: FLAME's root joint, as `FlameParams` does, or the origin of FLAME's space."""
    place: Literal["room", "crop", "none"] = "none"
    """What the translation says: where the head is before a camera at rest; where it is before the camera of a crop
    that follows the head; or nothing."""

    def checked(self, place: Callable[[int], str]) -> TrackedHeads:
        """Return these heads if a head can have the parameters.

        Args:
            place: Returns the file and the entry of a row, as the beginning of the message.

        Raises:
            CaptureError: A coefficient of an eyelid is absurd.
            FlameParamsError: An angle is in degrees, or another number is absurd.
        """
        check_plausible(self.params, place)
        absurd = (self.eyelids.abs() > _MOST_EYELID).any(dim=1)
        if bool(absurd.any()):
            row = int(absurd.nonzero()[0])
            raise CaptureError(
                f"{place(row)}: the eyelids have the coefficients {self.eyelids[row].tolist()}; expected about 0 "
                "(open) to 1 (closed)"
            )
        return self

    def on(self, model: HeadModel) -> FlameParams:
        """Return the parameters on a head model, turned about its root joint.

        About the origin a point x comes to ``R x + t``, about the root joint J to ``R (x - J) + J + t'``; they are the
        same with ``t' = t + R J - J``. J belongs to the person and the expression.

        Raises:
            HeadModelError: It is not the FLAME that the tracker has fitted.
            FlameParamsError: More coefficients are in use than the model has.
        """
        check_flame(model, self.flame, str(self.source), self.program)
        try:
            params = self.params.check_fits(model)
        except FlameParamsError as error:
            raise FlameParamsError(f"{self.source}: {error}") from error
        if self.pivot == "root":
            return params
        regressor = model.joint_regressor[0]
        at_rest = regressor @ identity_vertices(model, params)
        root = at_rest + params.expr @ torch.einsum("v,vck->kc", regressor, model.expression_basis)
        turned = torch.einsum("nab,nb->na", axis_angle_to_matrix(params.rotation), root)
        return replace(params, translation=params.translation + turned - root)


class TrackerFile(ABC):
    """One program. Every subclass that is decorated with `register_tracker` is read."""

    name: ClassVar[str]
    """Name of the program."""
    licence: ClassVar[str]
    """Licence of its code and weights, as far as it is known."""
    layout: ClassVar[str]
    """What the user gives, for help texts and messages: a noun phrase with its article."""

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Return whether a file or folder is this program's, judged by its content. The path exists."""

    @abstractmethod
    def read(self, path: Path) -> TrackedHeads:
        """Read the heads.

        Raises:
            CaptureError: A file is broken, or a field is missing, misshapen or not finite.
            FlameParamsError: No head can have the parameters.
        """


trackers: Registry[TrackerFile] = Registry("tracker", CaptureError)
register_tracker = trackers.register


def tracker_file(path: Path) -> TrackerFile:
    """Return the program that has written a file or folder.

    Raises:
        CaptureError: No program is recognised.
    """
    expected = f"Give {describe_programs()}."
    if not path.is_dir():
        check_regular(path, CaptureError, expected)
    found = next((each for each in trackers.entries() if each.recognises(path)), None)
    if found is None:
        raise CaptureError(f"{path}: found no heads of a tracker in it. {expected}")
    return found


def read_heads(path: Path) -> TrackedHeads:
    """Read the heads of any registered program.

    Raises:
        CaptureError, FlameParamsError: No program is recognised, or as for `TrackerFile.read`.
    """
    return tracker_file(path).read(path)


def describe_programs() -> str:
    """Return what can be given, as one phrase for messages: "a, b or c"."""
    *first, last = (each.layout for each in trackers.entries())
    return f"{', '.join(first)} or {last}"
