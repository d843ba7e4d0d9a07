"""Help texts that several commands share."""

from __future__ import annotations

from sage_ns.motion.files import describe_readers

MOTION_FILES = f"{describe_readers()}; pose and expression count, not whose head it was"
"""What an option takes that names motion."""
