"""``sage-capture rig``: a head model in FLAME's format from a free model of another format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from sage_ns.errors import HeadModelError
from sage_ns.system.console import escape

NUM_VERTICES = (1000, 20_000)
"""Fewest and most vertices of a head model that is written."""


@dataclass
class Rig:
    """Turn a free face model into a head model in FLAME's format, which every command then takes as --head-model.

    ict-facekit: git clone https://github.com/ICT-VGL/ICT-FaceKit (MIT licence, 500 MB); give the clone as FOLDER.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """folder of the model: the clone, or its FaceXModel"""
    out: Annotated[Path, tyro.conf.Positional]
    """npz file to write"""
    source: Annotated[Literal["ict-facekit"], tyro.conf.arg(name="from")]
    """what the folder is"""
    vertices: int = 5500
    """about as many vertices stay; FLAME has 5023"""
    overwrite: bool = False
    """replace an existing file"""

    def run(self, console: Console) -> None:
        """Convert the model, and print its size and the next command."""
        from sage_ns.rig import save_head_model
        from sage_ns.rig.facekit import head_model_from_facekit
        from sage_ns.system.files import refuse_existing
        from sage_ns.system.progress import progress_bar

        if self.out.suffix != ".npz":
            raise HeadModelError(f"{self.out}: the head model is an npz file; give a name that ends in .npz")
        if not NUM_VERTICES[0] <= self.vertices <= NUM_VERTICES[1]:
            raise HeadModelError(f"--vertices {self.vertices}: expected {NUM_VERTICES[0]} to {NUM_VERTICES[1]}")
        refuse_existing([self.out], self.overwrite)
        with progress_bar("reading the shapes") as bar:
            model = head_model_from_facekit(self.folder, self.vertices, progress=bar)
        save_head_model(model, self.out)
        console.print(
            f"head model  {model.name}: {model.num_vertices} vertices, {model.num_triangles} triangles, "
            f"{model.num_shape} directions of identity, {model.num_expression} named expressions",
            soft_wrap=True,
        )
        console.print(f"written     {escape(str(self.out))}", soft_wrap=True)
        console.print(
            f"next: [bold]sage-track photo.jpg OUT --head-model {escape(str(self.out))}[/bold]", soft_wrap=True
        )
