"""The model as nerfstudio's viewer is to draw it: over any background, in sensible sizes, and come what may."""

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
"""Pictures per second while something moves, where that can be had."""


class ShownModel:
    """Stands between the viewer and the model: draws the avatar in the viewer's own motion, look and background.

    The model and its avatar are only read, so that training and evaluation go on as without a viewer.

    What has begun is drawn to its end. nerfstudio's viewer interrupts drawing by an exception at whatever line it has
    reached, also where that leaves a lock taken or a module half imported, after which nothing is drawn any more; the
    exception comes after the drawing instead.

    Args:
        model: what is drawn.
        rig_mesh: gets the rig's vertices of each picture.
        held: motion that the panel holds, asked for each picture; None leaves the motion to the camera.
        chosen: names of the outputs that the page shows.
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
        """What the viewer shows of the avatar."""
        self.background: Float[Tensor, "3"] | None = None
        """Colour behind the avatar, 0..1; None for that of the pictures it was trained on."""
        self._held = held
        self._chosen = chosen
        self.error: Exception | None = None
        """Why the last picture could not be drawn; None where it was."""
        self._names: tuple[str, ...] = ("rgb", "accumulation", "depth")
        self._small: tuple[int, float] | None = None
        self._large: tuple[int, float] | None = None

    @property
    def device(self) -> torch.device:
        """The model's."""
        return self.model.device

    @property
    def training(self) -> bool:
        """The model's."""
        return self.model.training

    def train(self) -> None:
        """As the model's."""
        self.model.train()

    def eval(self) -> None:
        """As the model's."""
        self.model.eval()

    def get_outputs_for_camera(self, camera: Cameras, obb_box: Any = None) -> dict[str, Tensor]:
        """Images by name. An error that the model raises would end the viewer's thread: there are empty images then."""
        start = perf_counter()
        try:
            with _uninterrupted():
                outputs = self._draw(camera)
            self._names = tuple(outputs)
        except IOChangeException:  # the viewer's own: something has moved meanwhile
            raise
        except Exception as error:  # whatever it is, the next picture may succeed
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
            outputs.get(name)  # some are made when they are asked for: here, where they may fail
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
        """Let nerfstudio draw its next small picture, of those while something moves, in a size that is worth it.

        It wants 30 in a second and reckons that a picture with half of the pixels takes half of the time. Where posing
        alone takes longer, that ends with 30 pixels that come no sooner.
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
    """Nothing traces this thread meanwhile, which is how nerfstudio's viewer interrupts."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)


def moving_pixels(small: tuple[int, float], large: tuple[int, float]) -> float:
    """Pixels of pictures of something that moves: what `MOVING_FPS` leaves time for, or what makes them take half as
    long again as the smallest ones; a quarter of a large picture's at most.

    Args:
        small, large: pixels and seconds of two pictures; time is taken to be a constant and some for every pixel.
    """
    per_pixel = (large[1] - small[1]) / max(large[0] - small[0], 1)
    # Other programs make single times too long; a pixel costs something.
    per_pixel = max(per_pixel, 0.1 * large[1] / large[0])
    constant = max(small[1] - per_pixel * small[0], 0.0)
    return min(max(0.5 * constant, 1.0 / MOVING_FPS - constant) / per_pixel, large[0] / 4)
