"""``sage-export``: take an avatar out of nerfstudio."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from jaxtyping import Float
from rich.console import Console
from rich.markup import escape
from torch import Tensor

from sage_ns.errors import SageError

if TYPE_CHECKING:
    from sage_ns.avatar.field_surface import SurfaceMesh
    from sage_ns.model import SageModel
    from sage_ns.rig import FlameParams


@dataclass
class ExportMesh:
    """Write the surface of the head as coloured meshes: metres, y up, looking along +z.

    Always in the canonical pose (canonical.ply); with --flame-params or --timesteps also posed (posed_00012.ply).
    """

    load_config: Path
    """config.yml of a trained avatar"""
    output_dir: Path
    """folder to write into"""
    flame_params: tuple[Path, ...] = ()
    """FLAME parameters to pose by: npz files or folders of them, in this order; the identity in them is ignored"""
    timesteps: tuple[int, ...] = ()
    """which moments to pose: rows of --flame-params (by default all), or else timesteps of the avatar's own capture"""
    format: Literal["ply", "glb"] = "ply"
    """binary PLY, or glTF for browsers and 3D programs"""
    cell_size: float = 0.0015
    """what the mesh resolves, metres"""
    overwrite: bool = False
    """replace meshes that are in the folder already"""

    def run(self, console: Console) -> None:
        """Check everything that can be checked, extract, pose, write, and say what is there."""
        given = self._given_params()
        moments = self._moments(given)
        canonical_path = self._path("canonical")
        self._refuse_existing([canonical_path, *map(self._posed_path, moments)])
        model = load_avatar(self.load_config)
        poses = self._poses(model, given, moments)
        mesh = canonical_surface(model, self.cell_size, str(self.load_config))
        mesh.to("cpu").save(canonical_path)
        _write_posed(model, mesh, poses, [self._posed_path(moment) for moment in moments])
        size = f"{len(mesh.vertices)} vertices, {len(mesh.triangles)} triangles"
        console.print(f"canonical surface ({size})  {escape(str(canonical_path))}", soft_wrap=True)
        if moments:
            console.print(f"posed surfaces  {len(moments)} beside it", soft_wrap=True)

    def _path(self, name: str) -> Path:
        return self.output_dir / f"{name}.{self.format}"

    def _posed_path(self, moment: int) -> Path:
        return self._path(f"posed_{moment:05d}")

    def _given_params(self) -> list[FlameParams]:
        from sage_ns.rig import FlameParams

        if not self.load_config.is_file():
            raise SageError(f"{self.load_config} does not exist. Give the config.yml of a training run.")
        if self.cell_size <= 0:
            raise SageError(f"--cell-size {self.cell_size:g} has to be more than 0 metres")
        return [FlameParams.load(path) for path in self.flame_params]

    def _moments(self, given: list[FlameParams]) -> list[int]:
        """Rows of the given parameters, or timesteps of the capture."""
        chosen = sorted(set(self.timesteps))
        if not given:
            return chosen
        num_rows = sum(params.num_timesteps for params in given)
        if chosen and not 0 <= chosen[0] <= chosen[-1] < num_rows:
            raise SageError(f"--timesteps {chosen[0]} to {chosen[-1]}: --flame-params has the rows 0 to {num_rows - 1}")
        return chosen or list(range(num_rows))

    def _refuse_existing(self, paths: list[Path]) -> None:
        existing = [path for path in paths if path.exists()]
        if existing and not self.overwrite:
            more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
            raise SageError(f"{existing[0]}{more} exists already. Give --overwrite, or another --output-dir.")

    def _poses(
        self, model: SageModel, given: list[FlameParams], moments: list[int]
    ) -> Float[Tensor, "num_moments num_coefficients"]:
        from sage_ns.rig import concatenate

        motion = model.motion
        if given:
            # The avatar is one person: only the motion of the parameters counts, not whom they were tracked on.
            fitting = [replace(each, shape=each.shape[:0]).check_fits(model.rig.head_model) for each in given]
            return motion.fit(concatenate(fitting).motion_vector().to(motion.motion))[moments]
        known = {timestep: row for row, timestep in enumerate(motion.timesteps.tolist())}
        missing = [moment for moment in moments if moment not in known]
        if missing:
            raise SageError(
                f"--timesteps {missing[0]}: the avatar's capture has the timesteps {min(known)} to {max(known)}"
            )
        return motion.motion[[known[moment] for moment in moments]]


def load_avatar(config_path: Path) -> SageModel:
    """The avatar of a training run; its capture is not needed.

    Raises:
        SageError: The run is of another method.
    """
    from nerfstudio.utils.eval_utils import eval_setup

    from sage_ns.model import SageModel

    config, pipeline, _, _ = eval_setup(config_path, test_mode="inference")
    model: Any = pipeline.model
    if not isinstance(model, SageModel):
        raise SageError(f"{config_path} is a run of '{config.method_name}', which makes no avatar")
    return model


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


def _write_posed(model: SageModel, mesh: SurfaceMesh, poses: Tensor, paths: list[Path]) -> None:
    from sage_ns.progress import tracked
    from sage_ns.rig.carry import CarriedPoints

    if not paths:
        return
    rig = model.rig
    carry = CarriedPoints(mesh.vertices, rig.vertices(model.motion.canonical()), rig.head_model.triangles)
    for motion, path in tracked(list(zip(poses, paths, strict=True)), "Posing the surface"):
        mesh.posed(carry, rig.vertices(motion)).to("cpu").save(path)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``sage-export``."""
    console = Console()
    command = tyro.extras.subcommand_cli_from_dict({"mesh": ExportMesh}, args=arguments, description=__doc__)
    # Deprecations inside nerfstudio: not for a user to mend.
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        command.run(console)
    except SageError as error:
        console.print(f"[red]{type(error).__name__}:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
