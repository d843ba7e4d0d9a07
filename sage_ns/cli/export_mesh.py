"""``sage-export mesh``: the surface of the head, at rest and posed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from rich.markup import escape
from torch import Tensor
from tyro.conf import arg

from sage_ns.cli.export_moments import choose_moments, refuse_existing
from sage_ns.cli.options import MOTION_FILES
from sage_ns.errors import SageError
from sage_ns.plugin.runs import load_model

if TYPE_CHECKING:
    from sage_ns.avatar.field_surface import SurfaceMesh
    from sage_ns.plugin.model import SageModel


@dataclass
class ExportMesh:
    """Write the surface of the head as coloured meshes: metres, y up, looking along +z.

    Always in the canonical pose (canonical.ply); with --motion, --flame-params or --timesteps also posed
    (posed_00012.ply).
    """

    load_config: Path
    """config.yml of a trained avatar"""
    output_dir: Path
    """folder to write into"""
    motion: Annotated[Path | None, arg(help=f"motion to pose by: {MOTION_FILES}")] = None
    flame_params: tuple[Path, ...] = ()
    """FLAME parameters to pose by: npz files or folders of them, in this order; the identity in them is ignored"""
    timesteps: tuple[int, ...] = ()
    """which moments to pose: rows of --motion or --flame-params (by default all), or else timesteps of the avatar's own
    capture"""
    format: Literal["ply", "glb"] = "ply"
    """binary PLY, or glTF for browsers and 3D programs"""
    cell_size: float = 0.0015
    """what the mesh resolves, metres"""
    overwrite: bool = False
    """replace meshes that are in the folder already"""

    def run(self, console: Console) -> None:
        """Check everything that can be checked, extract, pose, write, and say what is there."""
        self._check()
        moments = choose_moments(self.timesteps, self.motion, self.flame_params)
        moments.tell(console)
        canonical_path, posed_paths = self._path("canonical"), [self._path(f"posed_{m:05d}") for m in moments.chosen]
        refuse_existing([canonical_path, *posed_paths], self.overwrite)
        model = load_model(self.load_config)
        poses = moments.motion(model)
        mesh = canonical_surface(model, self.cell_size, str(self.load_config))
        mesh.to("cpu").save(canonical_path)
        _write_posed(model, mesh, poses, posed_paths)
        size = f"{len(mesh.vertices)} vertices, {len(mesh.triangles)} triangles"
        console.print(f"canonical surface ({size})  {escape(str(canonical_path))}", soft_wrap=True)
        if posed_paths:
            console.print(f"posed surfaces  {len(posed_paths)} beside it", soft_wrap=True)

    def _path(self, name: str) -> Path:
        return self.output_dir / f"{name}.{self.format}"

    def _check(self) -> None:
        if not self.load_config.is_file():
            raise SageError(f"{self.load_config} does not exist. Give the config.yml of a training run.")
        if self.load_config.suffix == ".npz":
            raise SageError(
                f"{self.load_config}: an avatar file has no signed distance field, whose surface is exported. Give the "
                "config.yml of its training run."
            )
        if self.cell_size <= 0:
            raise SageError(f"--cell-size {self.cell_size:g} has to be more than 0 metres")


def canonical_surface(model: SageModel, cell_size: float, name: str) -> SurfaceMesh:
    """The field's surface of an avatar at its canonical moment.

    Raises:
        SageError: The avatar, which messages call ``name``, has no field, or the field has no surface.
    """
    from sage_ns.avatar.field_surface import extract_surface

    if model.canonical is None:
        raise SageError(
            f"{name}: this avatar is surfels alone, without the signed distance field whose surface is exported. "
            "Train it with sage-multiview and --pipeline.model.with-sdf True."
        )
    return extract_surface(model.canonical.field, model.canonical.appearance, cell_size)


def _write_posed(model: SageModel, mesh: SurfaceMesh, poses: Tensor, paths: Sequence[Path]) -> None:
    from sage_ns.rig.carry import CarriedPoints
    from sage_ns.system.progress import tracked

    if not paths:
        return
    rig = model.rig
    carry = CarriedPoints(mesh.vertices, rig.vertices(model.motion.canonical()), rig.head_model.triangles)
    for motion, path in tracked(list(zip(poses, paths, strict=True)), "Posing the surface"):
        mesh.posed(carry, rig.vertices(motion)).to("cpu").save(path)
