"""Captures whose head is known: pictures to track again, and the delivered tracking to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from sage_ns.bench.fingerprint import fingerprint
from sage_ns.capture.canonical_moment import choose_canonical
from sage_ns.capture.flame_table import load_tracking
from sage_ns.capture.frames import Frame
from sage_ns.capture.head_direction import seen_from
from sage_ns.capture.layout import read_capture
from sage_ns.capture.splits import canonical_candidates
from sage_ns.evaluation.tracked_head import SeenHead, TrueFace, true_face
from sage_ns.evaluation.true_surface import TRUTH_FILE, Truth, true_timesteps
from sage_ns.rig import FlameParams, HeadModel, find_head_model, load_head_model


@dataclass(frozen=True, eq=False)
class Delivered:
    """A capture with delivered tracking."""

    folder: Path
    frames: tuple[Frame, ...]
    """Of all splits, sorted by timestep, then camera; one per picture file."""
    canonical_timestep: int
    moments: dict[int, FlameParams]
    model: HeadModel
    surfaces: tuple[int, ...]
    """Timesteps whose true surface the capture has."""

    @classmethod
    def load(cls, folder: Path, head_model: Path | None = None) -> Delivered:
        """Read a capture.

        Args:
            folder: in VHAP's layout.
            head_model: file of the head model of the tracking; None = the one found near the capture.

        Raises:
            SageError: the capture, its tracking or its head model cannot be read; names file and field.
        """
        capture = read_capture(folder)
        model = load_head_model(find_head_model(head_model, capture.folder))
        moments = load_tracking(capture.flame_param_paths, model)
        every = (*capture.train, *capture.train_multiframe, *capture.val, *capture.test)
        frames = {frame.image_path: frame for frame in every}
        first = capture.train or capture.train_multiframe
        canonical = choose_canonical(first, canonical_candidates(first), moments, model).timestep
        truth = capture.folder / TRUTH_FILE
        return cls(
            capture.folder,
            tuple(sorted(frames.values(), key=lambda frame: (frame.timestep, frame.camera_index))),
            canonical,
            moments,
            model,
            tuple(true_timesteps(truth)) if truth.is_file() else (),
        )

    def front(self) -> Frame:
        """Return the picture of the canonical moment that shows the face most from the front."""
        frames = self.at(self.canonical_timestep)
        return frames[int(seen_from(frames, self.moments, self.model).off_front.argmin())]

    def at(self, timestep: int) -> tuple[Frame, ...]:
        """Return the pictures of a moment, in the order of the cameras."""
        return tuple(frame for frame in self.frames if frame.timestep == timestep)

    def seen(self, frame: Frame) -> SeenHead:
        """Return the true head of a picture with its camera."""
        return SeenHead(self.moments[frame.timestep], torch.from_numpy(frame.camera_to_world))

    def face(self, timestep: int) -> TrueFace:
        """Return what to compare the face of a moment with."""
        truth = Truth.load(self.folder / TRUTH_FILE, timestep) if timestep in self.surfaces else None
        return true_face(self.model, self.moments[timestep], truth)

    def key(self, frames: tuple[Frame, ...]) -> str:
        """Return the fingerprint of what figures depend on: pictures (name and size), cameras, tracking, head model."""
        pictures = [
            (path.name, path.stat().st_size)
            for frame in frames
            for path in (frame.image_path, frame.mask_path)
            if path is not None
        ]
        cameras = [(frame.camera_to_world, frame.fx, frame.fy, frame.cx, frame.cy) for frame in frames]
        moments = [vars(self.moments[timestep]) for timestep in sorted({frame.timestep for frame in frames})]
        return fingerprint(pictures, cameras, moments, self.model, self.surfaces)
