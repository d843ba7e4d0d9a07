"""A line that says whom to trust, in the commands of nerfstudio that run code from a config.yml."""

from __future__ import annotations

import sys
from pathlib import Path

from nerfstudio.utils.rich_utils import CONSOLE

_SAFE_COMMANDS = {
    "ns-viewer": "sage-view RUN opens",
    "ns-eval": "sage-view RUN opens",
    "ns-render": "sage-view RUN and sage-render open",
}
"""Commands of nerfstudio that load runs, and what opens a run of anyone instead."""


def note_whom_to_trust() -> None:
    """Print the line if this process is a command of nerfstudio that loads runs.

    nerfstudio has loaded the config by then: the line is for the next run. ns-train loads no config of others, and our
    own commands read every config with `load_run_config`.
    """
    name = Path(sys.argv[0]).stem
    if name not in _SAFE_COMMANDS:
        return
    CONSOLE.print(
        f"Note: {name} runs whatever code a config.yml names. Give it runs of people you trust; "
        f"{_SAFE_COMMANDS[name]} any run without running code from it.",
        soft_wrap=True,
    )
