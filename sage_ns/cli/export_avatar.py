"""``sage-export avatar``: write the avatar as one self-contained file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from sage_ns.errors import SageError
from sage_ns.system.console import escape


@dataclass
class ExportAvatar:
    """Write the avatar as one .npz: rig, surfels, mouth, its own motion and look.

    The file needs no capture and no config, and contains no pickle. sage-view, sage-render and sage-export take it in
    place of a config.yml; in Python, `Avatar.load` reads it.
    """

    output: Annotated[Path, tyro.conf.Positional]
    """avatar file to write (.npz)"""
    load_config: Path
    """config.yml of the training run"""
    overwrite: bool = False
    """replace an existing file"""

    def run(self, console: Console) -> None:
        """Check the options, write the file and print its size."""
        from sage_ns.plugin.runs import open_avatar, require_run
        from sage_ns.system.files import refuse_existing

        if self.output.suffix != ".npz":
            raise SageError(f"{self.output}: an avatar file is an npz file; give a name that ends in .npz")
        refuse_existing([self.output], self.overwrite)
        require_run(self.load_config)
        avatar = open_avatar(self.load_config)
        avatar.save(self.output)
        size = f"{self.output.stat().st_size / 1e6:.1f} MB, {avatar.surfels.num_surfels:,} surfels"
        console.print(f"avatar ({size})  {escape(str(self.output))}", soft_wrap=True)
        console.print(f"view it: sage-view {escape(str(self.output))}", soft_wrap=True)
