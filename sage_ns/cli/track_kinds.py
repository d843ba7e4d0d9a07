"""What ``sage-track`` makes captures of, by kind of input; one more is a class with the decorator `kinds.register`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from rich.console import Console

from sage_ns.cli.notes import print_notes
from sage_ns.errors import CaptureError, OptionError, TrackingError
from sage_ns.system.console import escape
from sage_ns.system.registry import Registry

ALL_FRAMES = " flame-capture --frames all"
_MOST_OF = 0.5
"""Share of the frames that `--frames rotation` has to keep."""

if TYPE_CHECKING:
    from sage_ns.cli.track import Track
    from sage_ns.rig import HeadModel
    from sage_ns.tracking.options import TrackingOptions
    from sage_ns.tracking.track_photo import Networks


class InputKind(Protocol):
    """A kind of input."""

    name: ClassVar[str]
    regime: ClassVar[str]
    """Training method that the capture is for."""
    ignores: ClassVar[tuple[str, ...]]
    """Options of `Track` that mean nothing for this kind, and are refused."""

    def fits(self, path: Path) -> bool:
        """Return whether a path is of this kind, by its name alone: a broken file is refused by its reader."""
        ...

    def track(self, options: Track, model: HeadModel, networks: Networks, console: Console) -> None:
        """Write the capture, and print what was found."""
        ...

    def arguments(self, out: Path) -> str:
        """Return further arguments of the training command for the capture that was written."""
        ...


class _NoArguments:
    def arguments(self, out: Path) -> str:
        """Return "": the method's defaults suit the capture."""
        return ""


kinds: Registry[InputKind] = Registry("kind of input", TrackingError)


def kind_of(path: Path) -> InputKind:
    """Return the kind of an input; a file that no other kind takes is a photo."""
    return next((each for each in kinds.entries() if each.name != "photo" and each.fits(path)), kinds["photo"])


def refuse_ignored(kind: InputKind, options: Track) -> None:
    """Refuse options that mean nothing for a kind of input.

    Raises:
        OptionError: names the first of them.
    """
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name in kind.ignores and value != each.default:
            raise OptionError(
                f"{options.input} is a {kind.name}; this option is for other inputs", **{each.name: value}
            )


def line(console: Console, name: str, text: str) -> None:
    """Print one line of findings."""
    console.print(f"{name:<13} {text}", soft_wrap=True)


def _options(kind: type[TrackingOptions], options: Track) -> dict[str, Any]:
    """Return the command's options that a kind of input has; what is not given keeps its default."""
    given = {each.name: getattr(options, each.name) for each in fields(kind)}
    return {name: value for name, value in given.items() if value is not None}


def _step(console: Console) -> Callable[[str], None]:
    return lambda step: console.print(f"[dim]{step}[/dim]")


@kinds.register
class PhotoFile(_NoArguments):
    """One photo."""

    name: ClassVar[str] = "photo"
    regime: ClassVar[str] = "sage-oneshot"
    ignores: ClassVar[tuple[str, ...]] = ("frames", "start", "end", "cameras")

    def fits(self, path: Path) -> bool:
        """Return True: photos have many endings."""
        return True

    def track(self, options: Track, model: HeadModel, networks: Networks, console: Console) -> None:
        """Track the photo."""
        from sage_ns.tracking.track_photo import PhotoOptions, track_photo
        from sage_ns.tracking.write import focal_summary

        wanted = PhotoOptions(**_options(PhotoOptions, options))
        tracked = track_photo(wanted, model, networks, _step(console))
        fit, photo, window = tracked.fit, tracked.photo, tracked.window
        line(console, "head model", escape(model.name))
        line(
            console,
            "face",
            f"{fit.face_width:.0f} px, confidence {tracked.face.confidence:.2f}, turned {fit.turn:.0f} degrees; "
            f"landmarks off by {fit.rms:.1f} px ({fit.disagreement:.1%} of the face)",
        )
        line(console, "focal length", focal_summary(photo.focal, fit.focal, photo.size))
        line(console, "picture", f"{window.width} x {window.height} px, foreground by {tracked.way}")
        print_notes(console, tracked.notes)


@kinds.register
class ClipFile:
    """A clip of a head that turns before a camera at rest."""

    name: ClassVar[str] = "clip"
    regime: ClassVar[str] = "sage-monocular"
    ignores: ClassVar[tuple[str, ...]] = ("mask", "cameras")

    def fits(self, path: Path) -> bool:
        """Return whether the ending is one of a video."""
        from sage_ns.tracking.clip import SUFFIXES

        return path.suffix.lower() in SUFFIXES and not path.is_dir()

    def track(self, options: Track, model: HeadModel, networks: Networks, console: Console) -> None:
        """Track the clip."""
        from sage_ns.tracking.track_clip import ClipOptions, track_clip
        from sage_ns.tracking.write import focal_summary

        wanted = ClipOptions(**_options(ClipOptions, options))
        tracked = track_clip(wanted, model, networks, _step(console))
        window, frames = tracked.window, tracked.frames
        width = sum(each.face_width for each in frames) / len(frames)
        off = sum(each.rms for each in frames) / len(frames)
        line(console, "head model", escape(model.name))
        line(console, "frames", f"{len(frames)}, {len(tracked.left_out)} more are left out")
        line(console, "face", f"{width:.0f} px; landmarks off by {off:.1f} px ({off / width:.1%} of the face)")
        line(console, "turn", f"{tracked.yaw.min():+.0f} to {tracked.yaw.max():+.0f} degrees sideways")
        line(console, "focal length", focal_summary(tracked.focal, tracked.focal_pixels, tracked.clip.size))
        line(console, "pictures", f"{window.width} x {window.height} px, foreground by {tracked.way}")
        print_notes(console, tracked.notes)

    def arguments(self, out: Path) -> str:
        """Return what makes `sage-monocular` train on all frames, if few of them seem to show a still face.

        Landmarks of a head that turns far slide over the skin, and a part of that becomes expression.
        """
        from sage_ns.capture.checked import CaptureOptions, load_capture

        every = load_capture(CaptureOptions(out, frames="all"))
        try:
            still = load_capture(CaptureOptions(out, frames="rotation"))
        except CaptureError:
            return ALL_FRAMES
        return ALL_FRAMES if len(still.splits.train) < _MOST_OF * len(every.splits.train) else ""


@kinds.register
class PictureFolder(_NoArguments):
    """Pictures of one moment by several cameras."""

    name: ClassVar[str] = "folder of pictures"
    regime: ClassVar[str] = "sage-multiview"
    ignores: ClassVar[tuple[str, ...]] = (
        "mask", "background", "frames", "start", "end", "refine", "initialise", "predictor", "tracker_file",
        "keep_heads",
    )  # fmt: skip

    def fits(self, path: Path) -> bool:
        """Return whether the path is a folder."""
        return path.is_dir()

    def track(self, options: Track, model: HeadModel, networks: Networks, console: Console) -> None:
        """Track the pictures."""
        from sage_ns.tracking.track_rig import RigOptions, track_rig

        wanted = RigOptions(**_options(RigOptions, options))
        tracked = track_rig(wanted, model, networks, _step(console))
        fit, off = tracked.fit, tracked.fit.fit.disagreement
        line(console, "head model", escape(model.name))
        line(console, "cameras", f"{len(tracked.views)}, {len(tracked.left_out)} more are left out; {tracked.rig.kind}")
        line(console, "scale", f"{fit.scale_source}; the head is {fit.head_size:.2f} times as large as the mean head")
        line(console, "faces", f"{len(fit.used)} fitted; landmarks off by {float(off.mean()):.1%} of the face")
        line(console, "skin", f"{fit.num_skin_points} points")
        print_notes(console, tracked.notes)
