"""Help texts that several commands share."""

from __future__ import annotations

from sage_ns.tracking.clip_motion import describe_readers

MOTION_FILES = f"{describe_readers()}; only its pose and expression are used, never its identity"
"""Help text of the files and folders that options for motion take."""

CLUSTER = (
    "where jobs run. none: on this machine, one after the other. auto: at the same time, on the Ray cluster that "
    "RAY_ADDRESS names, else on a local Ray. HOST:PORT: on this Ray cluster. All machines must see the captures and "
    "the output folder under the same paths. Ray: pip install '.[cluster]'"
)
CORES_PER_JOB = (
    "CPU cores of a job. Default: all cores of its machine, which then does one job at a time; a machine with GPUs "
    "does one job per GPU and shares its cores among them"
)
"""Help texts of the options for running jobs."""
