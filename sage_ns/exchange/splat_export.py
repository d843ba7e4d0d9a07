"""Export of an avatar as splat files, one per moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jaxtyping import Float
from torch import Tensor

from sage_ns.exchange.splat_formats import writer_of
from sage_ns.exchange.splats import splats_of
from sage_ns.system.progress import tracked

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar

Axes = Literal["viewers", "world"]


def export_splats(
    avatar: Avatar,
    poses: Float[Tensor, "num_moments num_coefficients"],
    paths: Sequence[Path],
    format: str = "3dgs",
    axes: Axes = "viewers",
) -> int:
    """Write the avatar at the given moments as splats, and return the number of splats per file.

    Args:
        avatar: the avatar to write.
        poses: motion vectors of its rig.
        paths: one file per moment.
        format: name of a `SplatWriter`.
        axes: "viewers" turns splats upside down if the format's viewers expect y to point down; "world" does not.

    Raises:
        SageError: there is no format of that name.
    """
    writer, count = writer_of(format), 0
    with tracked(list(zip(poses, paths, strict=True)), "Writing splats") as shown:
        for pose, path in shown:
            splats = splats_of(avatar, pose)
            writer.write(path, splats.upside_down() if writer.y_down and axes == "viewers" else splats)
            count = len(splats.means)
    return count
