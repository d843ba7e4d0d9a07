"""``sage-demo --photo``: from a photo to a capture with a driving motion, as `sage-track` makes it."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from sage_ns.errors import TrackingError
from sage_ns.system.console import escape
from sage_ns.system.files import read_json
from sage_ns.system.user_files import sha256_of

ASTRONAUT = "astronaut"
"""A portrait of Eileen Collins by NASA, in the public domain, which comes with scikit-image."""
_ASTRONAUT_CONSENT = "NASA's portrait of the astronaut Eileen Collins, in the public domain; she was not asked"
_FOLDER = "capture_photo"
_DRIVER_SEED = 3
_DRIVER_MOMENTS = 120


def track_demo_photo(photo: str, out: Path, head_model: Path | None, console: Console) -> Path:
    """Track a photo unless that is done already, and put a generated motion beside it; returns the capture.

    Args:
        photo: file of the photo, or `ASTRONAUT`.
        out: folder of the demo; a capture is kept for every photo.
        head_model: see `sage_ns.cli.track.Track`.
        console: where to print what was found.

    Raises:
        SageError: the photo cannot be tracked, or the folder has another photo of this name; says what to do.
    """
    from sage_ns.cli.track import Track
    from sage_ns.motion.expression_walk import expression_walk
    from sage_ns.rig import HEAD_MODEL_FILE, FlameParams, load_head_model

    path, consent = (_astronaut(), _ASTRONAUT_CONSENT) if photo == ASTRONAUT else (Path(photo), "")
    capture = out / f"{_FOLDER}_{path.stem}"
    if not (capture / "transforms.json").is_file():
        Track(path, capture, head_model=head_model, consent=consent).run(console)
    else:
        _refuse_other_photo(capture, path)
        console.print(f"[dim]tracked already: {escape(str(capture))}[/dim]", soft_wrap=True)
    driver = capture / "driver" / "sequence.npz"
    if not driver.is_file():
        # Nobody's recording: the motion that the generator makes for any rig.
        walk = expression_walk(load_head_model(capture / HEAD_MODEL_FILE), _DRIVER_MOMENTS, _DRIVER_SEED).params
        identity = FlameParams.load(capture / "flame_param").shape
        driver.parent.mkdir(exist_ok=True)
        replace(walk, shape=identity).save_vhap(driver)
    return capture


def _refuse_other_photo(capture: Path, photo: Path) -> None:
    """Refuse a capture that was made of another photo: cameras number their pictures alike."""
    from sage_ns.capture.provenance import REPORT

    made_of = (read_json(capture / REPORT) or {}).get("source", {}).get("sha256")
    if made_of != sha256_of(photo, TrackingError):
        raise TrackingError(f"{capture} was made of another photo than {photo}. Give another folder to write.")


def _astronaut() -> Path:
    return Path(str(files("skimage") / "data" / "astronaut.png"))
