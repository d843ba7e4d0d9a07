"""What to track, and how: what photos, clips and rigs share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sage_ns.tracking.starts import MEAN_HEAD, StartFiles


@dataclass(frozen=True)
class TrackingOptions:
    """Options of every kind of input, named as those of ``sage-track``."""

    input: Path
    """Photo, clip, or folder of the pictures of one moment."""
    out: Path
    """Folder of the capture."""
    face: str | None = None
    """"largest", or the number of a face: in a photo, and in the first frame of a clip that shows one; None = the
    largest if it is clearly the largest. In pictures of a rig, "largest" = the largest of each; None = leave out
    pictures with several of similar size."""
    focal_mm: float | None = None
    """Focal length as for 35 mm film, if the user knows it."""
    size: int = 800
    """Most pixels of the longer side of the written pictures."""
    consent: str = ""
    overwrite: bool = False


@dataclass(frozen=True)
class SingleCameraOptions(TrackingOptions):
    """Options of what one camera has taken."""

    background: Path | None = None
    """The same view without the person."""
    initialise: str = MEAN_HEAD
    """Where the fit begins; a name in `sage_ns.tracking.starts`."""
    predictor: Path | None = None
    """File of a predictor, for the start that needs one."""
    tracker_file: Path | None = None
    """What another tracker has found, for the start that needs it."""
    keep_heads: bool = False
    """Whether the heads of the tracker are kept as they are, but for their place; else the fit begins at them."""

    @property
    def start_files(self) -> StartFiles:
        """What the user gives for the start."""
        return StartFiles(self.predictor, self.tracker_file, self.keep_heads)
