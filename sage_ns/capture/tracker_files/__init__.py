"""Heads that other trackers have found, as their users have them on disk: one module per program.

This file imports every module of the folder: a new program needs one new file.
"""

from __future__ import annotations

from sage_ns.capture.tracker_files.registry import TrackedHeads as TrackedHeads
from sage_ns.capture.tracker_files.registry import TrackerFile as TrackerFile
from sage_ns.capture.tracker_files.registry import describe_programs as describe_programs
from sage_ns.capture.tracker_files.registry import read_heads as read_heads
from sage_ns.capture.tracker_files.registry import tracker_file as tracker_file
from sage_ns.system.registry import import_modules

import_modules(__name__, __path__)
