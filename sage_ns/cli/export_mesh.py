"""``sage-export mesh``: write the surface of the head, canonical and posed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import arg

from sage_ns.cli.notes import print_notes
from sage_ns.cli.options import MOTION_FILES
from sage_ns.errors import OptionError, SageError
from sage_ns.plugin.runs import load_model, require_run
from sage_ns.system.console import escape


@dataclass
class ExportMesh:
    """Write the surface of the head as coloured meshes, in metres, y up, with the face towards +z.

    Always writes the canonical pose (canonical.ply). With --motion, --flame-params or --timesteps, also writes posed
    meshes (posed_00012.ply).
    """

    load_config: Path
    """config.yml of a training run (not an avatar file: it has no surface)"""
    output_dir: Path
    """folder to write the meshes to"""
    motion: Annotated[Path | None, arg(help=f"motion that poses the mesh: {MOTION_FILES}")] = None
    flame_params: tuple[Path, ...] = ()
    """FLAME parameters that pose the mesh: npz files or folders of them, in this order; their identity is ignored"""
    timesteps: tuple[int, ...] = ()
    """moments to pose: rows of --motion or --flame-params (from 0; default: all); without these two, timesteps of the
    avatar's own capture (default: none)"""
    format: Literal["ply", "glb"] = "ply"
    """ply = binary PLY; glb = binary glTF, for browsers and 3D programs"""
    cell_size: float = 0.0015
    """edge of the cells that the surface is extracted from, metres; smaller cells give a finer mesh"""
    overwrite: bool = False
    """replace existing meshes"""

    def run(self, console: Console) -> None:
        """Check the options, extract the surface, pose it, write the meshes and print their sizes."""
        from sage_ns.exchange.mesh import canonical_surface, write_mesh, write_posed_meshes
        from sage_ns.exchange.moments import choose_moments
        from sage_ns.system.files import refuse_existing

        self._check()
        load = cache(lambda: load_model(self.load_config))
        moments = choose_moments(self.timesteps, self.motion, self.flame_params, lambda: load().avatar.rig.head_model)
        print_notes(console, moments.notes)
        canonical_path, posed_paths = self._path("canonical"), [self._path(f"posed_{m:05d}") for m in moments.chosen]
        refuse_existing([canonical_path, *posed_paths], self.overwrite)
        model = load()
        avatar = model.avatar
        poses = moments.motion(avatar, lambda note: print_notes(console, [note]))
        mesh = canonical_surface(model.canonical, str(self.load_config), self.cell_size)
        write_mesh(mesh, canonical_path)
        write_posed_meshes(mesh, avatar.rig, avatar.motion.canonical(), poses, posed_paths)
        size = f"{len(mesh.vertices)} vertices, {len(mesh.triangles)} triangles"
        console.print(f"canonical surface ({size})  {escape(str(canonical_path))}", soft_wrap=True)
        if posed_paths:
            console.print(f"posed surfaces  {len(posed_paths)} in the same folder", soft_wrap=True)

    def _path(self, name: str) -> Path:
        return self.output_dir / f"{name}.{self.format}"

    def _check(self) -> None:
        require_run(self.load_config)
        if self.load_config.suffix == ".npz":
            raise SageError(
                f"{self.load_config}: an avatar file has no signed distance field, and hence no surface. Give the "
                "config.yml of its training run."
            )
        if self.cell_size <= 0:
            raise OptionError("expected more than 0 metres", cell_size=self.cell_size)
