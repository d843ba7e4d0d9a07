"""Motion files: one module per format, each of which registers its reader, and `load_motion`, which picks one.

Every module of this folder is loaded here, so a new format is one file. Commands take help texts from the registry
before they load torch: reader modules import what is heavy where they read, not at their top.
"""

from __future__ import annotations

import importlib
import pkgutil

from sage_ns.motion.files.load import load_motion as load_motion
from sage_ns.motion.files.registry import MotionReader as MotionReader
from sage_ns.motion.files.registry import MotionSplit as MotionSplit
from sage_ns.motion.files.registry import describe_readers as describe_readers
from sage_ns.motion.files.registry import register_reader as register_reader

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
