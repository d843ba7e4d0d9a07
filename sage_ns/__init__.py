"""sage_ns: photoreal head avatars from very little footage, as a nerfstudio method.

The names in ``__all__`` are the public ones; ``docs/python.md`` shows how to use them. Each is loaded on first use:
``import sage_ns`` loads neither torch nor nerfstudio, and no public name needs nerfstudio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar as Avatar
    from sage_ns.avatar.look import Look as Look
    from sage_ns.capture.layout import read_capture as read_capture
    from sage_ns.errors import SageError as SageError
    from sage_ns.motion.face.arkit import ArkitMap as ArkitMap
    from sage_ns.motion.motion import Motion as Motion
    from sage_ns.raster.cameras import orbit as orbit
    from sage_ns.raster.dispatch import rasterize as rasterize
    from sage_ns.raster.types import Buffers as Buffers
    from sage_ns.raster.types import PinholeCamera as PinholeCamera
    from sage_ns.raster.types import Surfels as Surfels
    from sage_ns.rig.flame_params import FlameParams as FlameParams
    from sage_ns.rig.head_model import HeadModel as HeadModel
    from sage_ns.rig.head_model import load_head_model as load_head_model
    from sage_ns.rig.head_model import save_head_model as save_head_model
    from sage_ns.synthetic.head import builtin_head as builtin_head
    from sage_ns.tracking.clip_motion import load_motion as load_motion
    from sage_ns.video.reenact import reenact as reenact
    from sage_ns.video.writer import to_pixels as to_pixels
    from sage_ns.video.writer import write_pictures as write_pictures

__version__ = "0.1.0"

__all__ = [
    "ArkitMap",
    "Avatar",
    "Buffers",
    "FlameParams",
    "HeadModel",
    "Look",
    "Motion",
    "PinholeCamera",
    "SageError",
    "Surfels",
    "__version__",
    "builtin_head",
    "load_head_model",
    "load_motion",
    "orbit",
    "rasterize",
    "read_capture",
    "reenact",
    "save_head_model",
    "to_pixels",
    "write_pictures",
]

_HOMES = {
    "ArkitMap": "sage_ns.motion.face.arkit",
    "Avatar": "sage_ns.avatar.avatar",
    "Buffers": "sage_ns.raster.types",
    "FlameParams": "sage_ns.rig.flame_params",
    "HeadModel": "sage_ns.rig.head_model",
    "Look": "sage_ns.avatar.look",
    "Motion": "sage_ns.motion.motion",
    "PinholeCamera": "sage_ns.raster.types",
    "SageError": "sage_ns.errors",
    "Surfels": "sage_ns.raster.types",
    "builtin_head": "sage_ns.synthetic.head",
    "load_head_model": "sage_ns.rig.head_model",
    "load_motion": "sage_ns.tracking.clip_motion",
    "orbit": "sage_ns.raster.cameras",
    "rasterize": "sage_ns.raster.dispatch",
    "read_capture": "sage_ns.capture.layout",
    "reenact": "sage_ns.video.reenact",
    "save_head_model": "sage_ns.rig.head_model",
    "to_pixels": "sage_ns.video.writer",
    "write_pictures": "sage_ns.video.writer",
}
"""The module that each public name is loaded from."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sage_ns' has no attribute '{name}'; its public names: {', '.join(__all__)}")
    from importlib import import_module

    if name == "reenact":
        import_module("sage_ns.tracking.clip_motion")  # so that clips count as motion; no room below knows them
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
