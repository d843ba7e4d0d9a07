"""A headless Chromium that is told what to do over its DevTools protocol; nothing but websockets is needed."""

from __future__ import annotations

import base64
import io
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu"),
    # WebGL without a graphics card
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)

T = TypeVar("T")


def find_chromium() -> str | None:
    """Path of a Chromium (or Chrome) on this machine."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def wait_for(ask: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """The first answer of ``ask`` that counts as true; asked until then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")


class Browser:
    """A browser that shows the page at ``address``; a context manager that ends it."""

    def __init__(self, program: str, profile: Path, address: str, size: tuple[int, int] = (900, 700)) -> None:
        self._process = subprocess.Popen(
            [
                *(program, *FLAGS, f"--window-size={size[0]},{size[1]}"),
                *("--remote-debugging-port=0", f"--user-data-dir={profile}", address),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = profile / "DevToolsActivePort"
        wait_for(lambda: port_file.is_file() and port_file.read_text().count("\n"), "Chromium")
        port = port_file.read_text().split()[0]
        self._socket = connect(wait_for(lambda: _debugger_of(port, address), address), max_size=None)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(timeout=20)

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends one DevTools command and returns its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.tell("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Presses and releases a key."""
        for event in ("rawKeyDown", "keyUp"):
            self.tell("Input.dispatchKeyEvent", type=event, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self) -> np.ndarray:
        """The page as [h, w, 3] uint8."""
        data = base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _debugger_of(port: str, address: str) -> str | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
        pages = [each for each in json.load(answer) if each["type"] == "page" and each["url"].startswith(address)]
    return pages[0]["webSocketDebuggerUrl"] if pages else None
