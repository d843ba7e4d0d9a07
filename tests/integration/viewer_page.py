"""A page of nerfstudio's viewer without a browser: speaks viser's messages and sees what a browser would be sent."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from sage_ns.geometry.rotations import matrix_to_quaternion
from tests.waiting import PATIENCE, wait_for

CAMERA = {
    "SetCameraPositionMessage": "position",
    "SetCameraLookAtMessage": "look_at",
    "SetCameraFovMessage": "fov",
    "SetCameraUpDirectionMessage": "up_direction",
}
"""Which message of the server sets what of the camera."""


class ViewerPage:
    """One client of the viewer's server, square; a context manager.

    Args:
        port: where the viewer listens on this machine.
    """

    def __init__(self, port: int) -> None:
        self._socket = connect(f"ws://127.0.0.1:{port}", max_size=None)
        self._camera: dict[str, Any] = {
            "position": (3.0, 3.0, 3.0),
            "look_at": (0.0, 0.0, 0.0),
            "up_direction": (0.0, 0.0, 1.0),
            "fov": 1.3,
        }
        self._asked = 0.0
        self._picture: tuple[float, np.ndarray] | None = None
        self.controls: dict[str, dict[str, Any]] = {}
        """What the page shows, by id: the messages that added it, with later changes."""
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> ViewerPage:
        self._reader.start()
        self._send_camera()
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()
        self._reader.join(timeout=PATIENCE)

    def set(self, label: str, value: object, beside: str | None = None) -> None:
        """As somebody who moves a slider, chooses from a list or presses a button."""
        control = self.control(label, beside)
        control["value"] = value
        self._asked = time.monotonic()
        self._send("GuiUpdateMessage", id=control["id"], updates={"value": value})

    def control(self, label: str, beside: str | None = None) -> dict[str, Any]:
        """The control of that name, once it is there; of several, the one in the same tab as another control."""

        def find() -> dict[str, Any] | None:
            named = [each for each in list(self.controls.values()) if each.get("label") == label]
            if beside is not None:
                tab = self.control(beside)["container_id"]
                named = [each for each in named if each["container_id"] == tab]
            return named[0] if named else None

        return wait_for(find, f"control {label!r}", instead=self._seen)

    def picture(self, what: str, condition: Callable[[np.ndarray], bool] = lambda picture: True) -> np.ndarray:
        """The first full picture [512, 512, 3] in 0..255 after the last `set` that meets a condition.

        Raises:
            TimeoutError: none came; it says what came instead.
        """

        def ask() -> np.ndarray | None:
            if self._picture is None:
                return None
            came, picture = self._picture
            return picture if came > self._asked and picture.shape[1] == 512 and condition(picture) else None

        return wait_for(ask, what, instead=self._seen)

    def _seen(self) -> str:
        last = "no picture came"
        if self._picture is not None:
            age, picture = time.monotonic() - self._picture[0], self._picture[1]
            middle = picture[picture.shape[0] // 2, picture.shape[1] // 2]
            last = (
                f"the last picture, {age:.1f} s old, is {picture.shape}, {picture[8, 8]} at its corner, {middle} inside"
            )
        return f"{last}; the camera is at {self._camera}"

    def _send(self, kind: str, **fields: Any) -> None:
        self._socket.send(msgspec.msgpack.encode({"type": kind, **fields}))

    def _send_camera(self) -> None:
        """Turned as viser's page turns it: OpenCV's axes, z towards what is looked at."""
        forward = np.subtract(self._camera["look_at"], self._camera["position"])
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, self._camera["up_direction"])
        right = right / np.linalg.norm(right)
        turned = np.stack([right, np.cross(forward, right), forward], axis=-1)
        wxyz = matrix_to_quaternion(torch.from_numpy(turned)).tolist()
        self._send("ViewerCameraMessage", wxyz=wxyz, aspect=1.0, **self._camera)

    def _read(self) -> None:
        try:
            for raw in self._socket:
                assert isinstance(raw, bytes)
                moved = False
                for message in msgspec.msgpack.decode(raw):
                    moved |= self._take(message)
                if moved:
                    self._send_camera()
        except ConnectionClosed:
            pass

    def _take(self, message: dict[str, Any]) -> bool:
        """What one message of the server changes; whether that was the camera."""
        kind = message["type"]
        if kind == "BackgroundImageMessage":
            picture = np.asarray(Image.open(io.BytesIO(message["rgb_bytes"])).convert("RGB"))
            self._picture = time.monotonic(), picture.astype(float)
        elif kind.startswith("GuiAdd"):
            self.controls[message["id"]] = message
        elif kind == "GuiUpdateMessage" and message["id"] in self.controls:
            self.controls[message["id"]].update(message["updates"])
        elif kind == "GuiRemoveMessage":
            self.controls.pop(message["id"], None)
        elif kind in CAMERA:
            name = CAMERA[kind]
            self._camera[name] = message[name if name in message else "position"]
            return True
        return False
