"""Help texts that several commands share."""

from __future__ import annotations

from sage_ns.motion.files import describe_readers

MOTION_FILES = f"{describe_readers()}; only its pose and expression are used, never its identity"
"""Help text of the files and folders that options for motion take."""
