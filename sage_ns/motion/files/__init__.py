"""Motion files: one module per format, each of which registers its reader, and `load_motion`, which chooses a reader.

This file imports every module of the folder: a new format needs one new file. Commands build help texts from the
registry before they load torch; modules of readers therefore import heavy packages inside functions, not at their top.
"""

from __future__ import annotations

from sage_ns.motion.files.load import load_driver as load_driver
from sage_ns.motion.files.load import load_motion as load_motion
from sage_ns.motion.files.registry import MotionReader as MotionReader
from sage_ns.motion.files.registry import MotionSplit as MotionSplit
from sage_ns.motion.files.registry import describe_readers as describe_readers
from sage_ns.motion.files.registry import register_reader as register_reader
from sage_ns.system.registry import import_modules

import_modules(__name__, __path__)
