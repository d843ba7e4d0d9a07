"""``sage-export web``: write an avatar as a web page that any static server can host."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from sage_ns.cli.notes import print_notes
from sage_ns.cli.options import MOTION_FILES
from sage_ns.errors import OptionError, SageError
from sage_ns.system.console import escape

if TYPE_CHECKING:
    from sage_ns.motion.motion import Motion

BUDGET = 20e6
"""Bytes beyond which the command advises how to shrink the page, which would load slowly on a phone."""


@dataclass
class ExportWeb:
    """Write a web page that shows the avatar, with sliders for jaw, neck, eyes and face, and a clip of motion.

    Any static server can host the folder (python3 -m http.server -d OUT). The browser needs WebGL 2. The drawing
    libraries, Spark and three.js, are copied into the folder.
    """

    out: Annotated[Path, tyro.conf.Positional]
    """folder to write"""
    load_config: Path
    """config.yml of a training run, or an avatar file (.npz)"""
    motion: Annotated[
        Path | None,
        tyro.conf.arg(help=f"motion of the clip: {MOTION_FILES}; default: the motion of the avatar's own capture"),
    ] = None
    fps: float = 25.0
    """frames per second of the clip"""
    sh_degree: int = 3
    """highest degree of the view-dependent colour to keep, 0 to 3; a lower degree makes the page smaller"""
    library: Path | None = None
    """node_modules folder with three and @sparkjsdev/spark; default: one found nearby, else npm installs them"""
    cdn: bool = False
    """load the libraries from a public CDN instead of copying them; the page then does not open offline"""
    overwrite: bool = False
    """replace an existing page"""

    def run(self, console: Console) -> None:
        """Check the options, gather the content, print its licence, write the page and print its size."""
        from sage_ns.exchange.web.clip import clip_of
        from sage_ns.exchange.web.content import web_content
        from sage_ns.exchange.web.folder import check_target, licence_note, write_folder
        from sage_ns.exchange.web.library import Library, find_library
        from sage_ns.plugin.runs import open_avatar
        from sage_ns.tracking.clip_motion import load_driver

        self._check()
        check_target(self.out, self.overwrite)
        load = cache(lambda: open_avatar(self.load_config))
        driving = None if self.motion is None else load_driver(self.motion, lambda: load().rig.head_model)
        library = Library(None) if self.cdn else find_library(self.library, self.out)
        avatar = load()
        clip = clip_of(avatar, driving, self.fps)
        self._print_clip(console, clip, driving or avatar.motion.recorded())
        degree = min(self.sh_degree, avatar.surfels.sh_degree)
        content = web_content(avatar, clip, degree)
        if note := licence_note(content):
            print_notes(console, [note])
        size = write_folder(self.out, content, library)
        parts = {name: bytes for name, bytes in content.sizes.items() if bytes}
        parts["page and libraries"] = size - len(content.data)
        console.print(
            f"web page  {escape(str(self.out))}  {size / 1e6:.1f} MB, {content.num_surfels:,} surfels\n"
            f"  {', '.join(f'{name} {bytes / 1e6:.1f} MB' for name, bytes in parts.items())}\n"
            f"view it: python3 -m http.server -d {escape(str(self.out))}",
            soft_wrap=True,
        )
        if size > BUDGET:
            console.print(
                f"[yellow]The page is larger than {BUDGET / 1e6:.0f} MB. A lower --sh-degree (now {degree}), a shorter "
                "--motion or an avatar with fewer surfels makes it smaller.[/yellow]",
                soft_wrap=True,
            )

    def _check(self) -> None:
        from sage_ns.plugin.runs import require_avatar

        if not 0 <= self.sh_degree <= 3:
            raise OptionError("expected 0 to 3", sh_degree=self.sh_degree)
        if not self.fps > 0:
            raise OptionError("expected more than 0", fps=self.fps)
        if self.cdn and self.library is not None:
            raise SageError("--cdn and --library exclude each other: give one of them")
        require_avatar(self.load_config)

    def _print_clip(self, console: Console, clip: Motion | None, motion: Motion) -> None:
        print_notes(console, (f"{motion.source}: {note}" for note in (clip or motion).notes))
        if clip is not None and clip.num_rows < motion.num_rows:
            console.print(f"the clip keeps {clip.num_rows} of {motion.num_rows} frames", soft_wrap=True)
