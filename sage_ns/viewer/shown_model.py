"""The model for nerfstudio's viewer: draws over any background, chooses picture sizes, and survives errors."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from jaxtyping import Float
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.utils.writer import GLOBAL_BUFFER, EventName
from nerfstudio.viewer.render_state_machine import RenderStateMachine
from nerfstudio.viewer_legacy.server.viewer_utils import IOChangeException
from torch import Tensor

from sage_ns.viewer.rig_mesh import RigMesh
from sage_ns.viewer.viewed_model import ViewedModel

MOVING_FPS = 30.0
"""Target rate in pictures per second while the avatar or the camera moves."""


class ShownModel:
    """Draws the model's avatar with the viewer's own motion, look and background.

    It only reads the model and its avatar: training and evaluation are not affected by the viewer.

    A drawing that has started is completed. nerfstudio's viewer interrupts drawing with an exception at an arbitrary
    line. That can leave a lock taken or a module half imported, and the viewer would then draw nothing more. Here the
    exception is raised after the drawing.

    Args:
        model: the model to draw.
        rig_mesh: receives the rig's vertices of each picture.
        held: returns the panel's motion vector, once per picture; None means the motion of the camera's time.
        chosen: returns the names of the outputs that the page shows.
    """

    def __init__(
        self,
        model: ViewedModel,
        rig_mesh: RigMesh,
        held: Callable[[], Float[Tensor, "num_coefficients"] | None],
        chosen: Callable[[], list[str]],
    ) -> None:
        self.model = model
        self.rig_mesh = rig_mesh
        self.look = model.avatar.look
        """The viewer's look of the avatar."""
        self.background: Float[Tensor, "3"] | None = None
        """Background colour, RGB in 0..1; None for that of the training pictures."""
        self._held = held
        self._chosen = chosen
        self.error: Exception | None = None
        """Error of the last picture; None if it was drawn."""
        self._names: tuple[str, ...] = ("rgb", "accumulation", "depth")
        self._small: tuple[int, float] | None = None
        self._large: tuple[int, float] | None = None

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    @property
    def training(self) -> bool:
        """Whether the model is in training mode."""
        return self.model.training

    def train(self) -> None:
        """Set the model to training mode."""
        self.model.train()

    def eval(self) -> None:
        """Set the model to evaluation mode."""
        self.model.eval()

    def get_outputs_for_camera(self, camera: Cameras, obb_box: Any = None) -> dict[str, Tensor]:
        """Return images by name; if the model raises an error, grey images, since an error ends the viewer's thread."""
        start = perf_counter()
        try:
            with _uninterrupted():
                outputs = self._draw(camera)
            self._names = tuple(outputs)
        except IOChangeException:  # the viewer interrupts: the camera or the avatar has moved
            raise
        except Exception as error:  # any error: the next picture may succeed
            self.error = error
            return self._empty(camera)
        self.error = None
        self._keep_pace(int(camera.height) * int(camera.width), perf_counter() - start)
        return outputs

    def _draw(self, camera: Cameras) -> dict[str, Tensor]:
        motion = self._motion(camera)
        outputs = self.model.draw_outputs(camera, motion, self.look)
        if self.background is not None:
            exchanged = self.background.to(self.device) - self.model.avatar.background
            outputs["rgb"] = (outputs["rgb"] + (1.0 - outputs["accumulation"]) * exchanged).clamp(0.0, 1.0)
        for name in self._chosen():
            outputs.get(name)  # makes lazy images now, inside the error handling
        self.rig_mesh.follow(self.model.avatar.poses.at(motion).vertices)
        return outputs

    def _motion(self, camera: Cameras) -> Float[Tensor, "num_coefficients"]:
        held = self._held()
        return self.model.avatar.motion.at(camera) if held is None else held.to(self.device)

    def _empty(self, camera: Cameras) -> dict[str, Tensor]:
        height, width = int(camera.height), int(camera.width)
        gray = torch.full((height, width, 3), 0.5, device=self.device)
        return {name: gray[..., :1] if name == "depth" else gray for name in self._names}

    def _keep_pace(self, num_pixels: int, seconds: float) -> None:
        """Make nerfstudio choose a useful size for its next small picture, which it shows while the avatar moves.

        nerfstudio aims at 30 pictures per second and assumes that half of the pixels take half of the time. If posing
        alone takes longer than 1/30 s, it would shrink pictures to 30 pixels without drawing them faster.
        """
        machine = threading.current_thread()
        if not isinstance(machine, RenderStateMachine):
            return
        if machine.state == "high":
            self._large = num_pixels, seconds
        else:
            self._small = num_pixels, seconds
        if self._small is None or self._large is None:
            return
        pixels_per_second = GLOBAL_BUFFER["events"].get(EventName.VIS_RAYS_PER_SEC.value, {}).get("avg", 0.0)
        if pixels_per_second > 0:
            machine.target_fps = pixels_per_second / moving_pixels(self._small, self._large)  # type: ignore[assignment]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Switch off tracing of this thread, by which nerfstudio's viewer interrupts it."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)


def moving_pixels(small: tuple[int, float], large: tuple[int, float]) -> float:
    """Return the number of pixels for pictures while the avatar moves.

    It is the larger of two numbers: the pixels that `MOVING_FPS` leaves time for, and the pixels that take half of the
    constant time of a picture; at most a quarter of a large picture.

    Args:
        small, large: pixels and seconds of two pictures. The model of time is a constant plus a time per pixel.
    """
    per_pixel = (large[1] - small[1]) / max(large[0] - small[0], 1)
    # Other programs make single times too long; this is a lower limit of the time per pixel.
    per_pixel = max(per_pixel, 0.1 * large[1] / large[0])
    constant = max(small[1] - per_pixel * small[0], 0.0)
    return min(max(0.5 * constant, 1.0 / MOVING_FPS - constant) / per_pixel, large[0] / 4)
