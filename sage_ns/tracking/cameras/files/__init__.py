"""Files that state the cameras of pictures: one module per kind, each of which registers its reader."""

from __future__ import annotations

from sage_ns.system.registry import import_modules
from sage_ns.tracking.cameras.files.registry import CameraReader as CameraReader
from sage_ns.tracking.cameras.files.registry import camera_readers as camera_readers
from sage_ns.tracking.cameras.files.registry import find_cameras as find_cameras
from sage_ns.tracking.cameras.files.registry import read_cameras as read_cameras
from sage_ns.tracking.cameras.files.registry import readers_table as readers_table
from sage_ns.tracking.cameras.files.registry import register_reader as register_reader

import_modules(__name__, __path__)
