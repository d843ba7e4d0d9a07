"""The output of a video, and its requirements for size and background of the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from sage_ns.capture.images import background_color
from sage_ns.errors import OptionError
from sage_ns.video.writer import check_writable, needs_even_size

TRANSPARENT = "alpha"
"""Value for a transparent background, instead of a colour."""
MOST_FPS = 1000


@dataclass(frozen=True, eq=False)
class Target:
    """The file or folder that a video is written to, and the background of its pictures."""

    path: Path | None
    """None: pictures are drawn on access and not written."""
    background: Float[Tensor, "3"] | str | None
    """Colour 0..1, `TRANSPARENT`, or None: the avatar's own."""

    @classmethod
    def of(cls, output: Path | str | None, background: Float[Tensor, "3"] | str | None, overwrite: bool) -> Target:
        """Make a target and check that it can be written to; the background may also be the name of a colour.

        Raises:
            VideoError: the target cannot be written to, see `check_writable`.
            CaptureError: the colour's name is unknown.
        """
        target = cls(None if output is None else Path(output), background)
        if target.path is not None:
            check_writable(target.path, target.transparent, overwrite)
        if isinstance(background, str) and not target.transparent:
            return cls(target.path, background_color(background))
        return target

    @property
    def transparent(self) -> bool:
        """Whether pictures have coverage as fourth channel instead of a background."""
        return isinstance(self.background, str) and self.background == TRANSPARENT

    @property
    def even(self) -> bool:
        """Whether width and height of the pictures must be even numbers of pixels."""
        return self.path is not None and needs_even_size(self.path, self.transparent)

    def color(self, own: Float[Tensor, "3"]) -> Float[Tensor, "3"] | None:
        """Return the background's colour, or ``own`` if none was given; None: transparent."""
        if self.background is None:
            return own
        return None if isinstance(self.background, str) else self.background

    def check_size(self, **sides: int | None) -> None:
        """Check that a width or height [pixels] can be written.

        Raises:
            OptionError: it cannot; names the side.
        """
        for name, side in sides.items():
            if side is not None and side < 1:
                raise OptionError("expected at least 1", **{name: side})
            if side is not None and side % 2 and self.even:
                kind = self.path.suffix if self.path is not None else ""
                raise OptionError(f"{kind} files need even numbers; give {side + 1}", **{name: side})


def check_rates(**rates: float | None) -> None:
    """Check that rates [1/s] are more than 0 and at most `MOST_FPS`.

    Raises:
        OptionError: a rate is out of range; names it.
    """
    for name, rate in rates.items():
        if rate is not None and not 0 < rate <= MOST_FPS:
            raise OptionError(f"expected frames per second, more than 0 and at most {MOST_FPS}", **{name: rate})
