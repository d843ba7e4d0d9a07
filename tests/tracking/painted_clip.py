"""A painted person who turns in a clip, and networks that know where: frames are told apart by their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from sage_ns.raster.cameras import project
from sage_ns.rig import FlameParams, concatenate, pose_vertices
from sage_ns.synthetic.head import builtin_head, builtin_identity
from sage_ns.synthetic.painted import PaintedHead
from sage_ns.tracking.embedding import builtin_embedding
from sage_ns.tracking.face import Face
from sage_ns.tracking.track_photo import Networks
from sage_ns.tracking.window import Window
from tests.tracking.known_head import face_of

SIZE, FOCAL, FPS = (150, 170), 300.0, 10
YAWS = (-0.5, -0.3, -0.1, 0.05, 0.2, 0.4)


def write_film(path: Path, frames: Sequence[np.ndarray], *options: str, fps: int = FPS) -> Path:
    """Write pictures as a video; options are those of ffmpeg for the output."""
    import imageio_ffmpeg

    height, width = frames[0].shape[:2]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, macro_block_size=1, quality=9, output_params=list(options)
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


@dataclass(frozen=True, eq=False)
class Actor:
    """The clip, the truth, and what a perfect detector says of each frame."""

    clip: Path
    frames: list[np.ndarray]
    params: FlameParams
    faces: list[list[Face]]
    looked_at: list[int] = field(default_factory=list)
    """Frames that the detector was asked for."""

    def networks(self) -> Networks:
        """Return a detector that knows the frames by their pictures, and a segmentation by the plain background."""
        return Networks(self.detect, self.segment)

    def detect(self, picture: torch.Tensor | np.ndarray) -> list[Face]:
        """Return the faces of the frame that the picture shows."""
        shown = np.asarray(picture).astype(float)
        row = int(np.argmin([np.abs(shown - each).mean() for each in self.frames]))
        self.looked_at.append(row)
        return self.faces[row]

    def segment(self, part: np.ndarray) -> np.ndarray:
        """Return what differs from the background."""
        return (np.abs(part.astype(float) - self.frames[0][0, 0]).max(axis=-1) > 12).astype(float)


def painted_actor(folder: Path) -> Actor:
    """Draw the clip."""
    model = builtin_head()
    neutral = FlameParams.neutral(model)
    rows, frames, faces = [], [], []
    camera = Window(0, 0, *SIZE, 1).camera(FOCAL, SIZE)
    painter = PaintedHead(model)
    for yaw in YAWS:
        params = replace(
            neutral,
            shape=0.7 * builtin_identity(5),
            rotation=torch.tensor([[0.05, yaw, -0.05]]),
            jaw_pose=torch.tensor([[0.1, 0.0, 0.0]]),
            translation=torch.tensor([[0.01, 0.03, -0.7]]),
        )
        vertices = pose_vertices(model, params)[0]
        picture, _ = painter.picture(vertices, camera, seed=5)
        found = project(builtin_embedding().points(vertices, model.triangles), camera)
        depth = (found.depth - found.depth.mean()) * FOCAL / found.depth.mean()
        rows.append(params)
        frames.append(picture)
        faces.append([face_of(found.pixels, depth)])
    return Actor(write_film(folder / "clip.mp4", frames), frames, concatenate(rows), faces)
