"""Speed of playback: frames per second of a moving head, without reading or writing files.

    python -m sage_ns.bench.speed.playback AVATAR [--json-path results.json]

AVATAR is an avatar file or a run's config.yml. Every frame is another moment of the avatar's own motion, seen from the
front: the tool poses the rig, places, corrects and colours the surfels, including those of the mouth, and renders them,
without supersampling and with 2 x 2 samples per pixel. The plain-torch reference is timed on a few rows of pixels and
scaled up. Compare ratios rather than milliseconds between machines. The fastest of several rounds is reported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sage_ns.avatar.avatar import Avatar
from sage_ns.plugin.runs import open_avatar
from sage_ns.raster import PinholeCamera, rasterize
from sage_ns.raster.supersampling import downsampled, enlarged
from sage_ns.rig import FlameParams
from sage_ns.system.files import write_json
from sage_ns.system.parallel import cores_for_kernels

FULL, QUARTER = (550, 802), (138, 200)
REFERENCE_ROWS = 2
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Playback:
    """Milliseconds per frame at one size of picture."""

    width: int
    height: int
    supersampling: int
    parts_ms: dict[str, float]
    """Milliseconds of posing the rig, placing surfels, drawing them, and averaging samples."""
    reference_ms: float | None
    """Milliseconds of drawing by the plain-torch reference; None if it was not timed."""

    @property
    def frames_per_second(self) -> float:
        """Frames per second of all parts together."""
        return 1e3 / sum(self.parts_ms.values())


@torch.no_grad()
def measure(
    avatar: Avatar, width: int, height: int, num_frames: int, rounds: int, reference: bool, supersampling: int
) -> Playback:
    """Time the playback of ``num_frames`` moments at a size in pixels, the fastest of ``rounds`` rounds."""
    look = replace(avatar.look, supersampling=supersampling)
    camera = avatar.front_camera(width, height).to(avatar.device)
    fine = enlarged(camera, supersampling)
    best: dict[str, float] = {}
    surfels = avatar.place(camera.center, avatar.motion.canonical(), look)
    rasterize(surfels, fine)
    for _ in range(rounds):
        total = dict.fromkeys(("pose", "place", "draw", "average"), 0.0)
        avatar.poses.clear()
        for motion in _moments(avatar, num_frames):
            _, spent = _timed(avatar, lambda motion=motion: avatar.poses.at(motion))
            total["pose"] += spent
            surfels, spent = _timed(avatar, lambda motion=motion: avatar.place(camera.center, motion, look))
            total["place"] += spent
            buffers, spent = _timed(avatar, lambda surfels=surfels: rasterize(surfels, fine))
            total["draw"] += spent
            _, spent = _timed(avatar, lambda buffers=buffers: downsampled(buffers, supersampling))
            total["average"] += spent
        each = {name: value / num_frames for name, value in total.items()}
        if not best or sum(each.values()) < sum(best.values()):
            best = each
    slow = _reference_ms(avatar, fine) if reference else None
    return Playback(width, height, supersampling, best, slow)


def _moments(avatar: Avatar, num_frames: int) -> Float[Tensor, "num_frames num_coefficients"]:
    stored = FlameParams.from_motion_vector(avatar.motion.motion)
    positions = torch.linspace(0, stored.num_timesteps - 1, num_frames, device=avatar.device)
    return stored.interpolate(positions).motion_vector()


def _timed(avatar: Avatar, call: Callable[[], _Result]) -> tuple[_Result, float]:
    start = time.perf_counter()
    result = call()
    if avatar.device.type == "cuda":
        torch.cuda.synchronize()
    return result, 1e3 * (time.perf_counter() - start)


def _reference_ms(avatar: Avatar, camera: PinholeCamera) -> float:
    """Time the reference on `REFERENCE_ROWS` rows through the middle of the face, scaled up to the whole picture."""
    middle = camera.intrinsics.clone()
    middle[1, 2] = REFERENCE_ROWS / 2
    strip = replace(camera, intrinsics=middle, height=REFERENCE_ROWS)
    surfels = avatar.place(camera.center, avatar.motion.canonical())
    _, spent = _timed(avatar, lambda: rasterize(surfels, strip, "reference"))
    return spent * camera.height / REFERENCE_ROWS


def report(console: Console, playbacks: list[Playback], num_surfels: int) -> None:
    """Print a table of all sizes."""
    table = Table(title=f"Playing {num_surfels:,} surfels, milliseconds per frame")
    parts = list(playbacks[0].parts_ms)
    for heading in ("size", "supersampled", *parts, "frames / s", "reference draws in", "ratio"):
        table.add_column(heading, justify="right")
    for each in playbacks:
        slow = each.reference_ms
        ratio = ["-", "-"] if slow is None else [f"{slow:,.0f}", f"{slow / each.parts_ms['draw']:.0f}"]
        numbers = [f"{each.parts_ms[part]:.1f}" for part in parts]
        size, times = f"{each.width}x{each.height}", f"x{each.supersampling}"
        table.add_row(size, times, *numbers, f"{each.frames_per_second:.1f}", *ratio)
    console.print(table)


def main(
    avatar: Annotated[Path, tyro.conf.Positional],
    num_frames: int = 20,
    rounds: int = 5,
    reference: bool = True,
    json_path: Path | None = None,
) -> None:
    """Measure the speed of an avatar's playback, and print the figures.

    Args:
        avatar: avatar file, or config.yml of a run.
        num_frames: moments per round.
        rounds: number of rounds; the fastest one is reported.
        reference: also time the plain-torch reference.
        json_path: JSON file for the figures.
    """
    loaded = open_avatar(avatar)
    with cores_for_kernels():
        playbacks = [
            measure(loaded, *size, num_frames, rounds, reference, supersampling)
            for size in (QUARTER, FULL)
            for supersampling in (1, 2)
        ]
    num_surfels = loaded.surfels.num_surfels
    report(Console(), playbacks, num_surfels)
    if json_path is not None:
        rows = [asdict(each) | {"frames_per_second": each.frames_per_second} for each in playbacks]
        write_json(json_path, {"num_surfels": num_surfels, "device": str(loaded.device), "sizes": rows})


if __name__ == "__main__":
    tyro.cli(main)
