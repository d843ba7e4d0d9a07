"""Surfaces as mesh files: at the canonical moment, and posed by a motion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from sage_ns.avatar.field_surface import CELL_SIZE, SurfaceMesh, extract_surface
from sage_ns.errors import SageError
from sage_ns.rig.carry import CarriedPoints
from sage_ns.system.files import whole_file
from sage_ns.system.progress import tracked

if TYPE_CHECKING:
    from sage_ns.avatar.canonical import Canonical
    from sage_ns.avatar.personal_rig import PersonalRig

FORMATS = ("ply", "glb")


def write_mesh(mesh: SurfaceMesh, path: Path) -> None:
    """Write a binary .ply, or a .glb for browsers and 3D programs; vertex colours have 8 bits.

    Raises:
        SageError: The path has another suffix.
    """
    import trimesh

    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise SageError(f"{path}: a mesh is written as .{' or .'.join(FORMATS)}, not as '{path.suffix}'")
    encoded: Any = trimesh.Trimesh(
        mesh.vertices.detach().cpu().numpy(),
        mesh.triangles.cpu().numpy(),
        vertex_normals=mesh.normals.detach().cpu().numpy(),
        vertex_colors=(mesh.colors.detach().cpu().clamp(0, 1) * 255).round().byte().numpy(),
        process=False,
    )
    options = {"vertex_normal": True} if kind == "ply" else {"include_normals": True}
    with whole_file(path) as unfinished:
        unfinished.write_bytes(encoded.export(file_type=kind, **options))


def canonical_surface(canonical: Canonical | None, name: str, cell_size: float = CELL_SIZE) -> SurfaceMesh:
    """Extract the surface of an avatar's signed distance field, at the canonical moment.

    Args:
        canonical: field and appearance; None if the avatar was trained without a field.
        name: name of the avatar in messages.
        cell_size: resolution of the mesh, metres.

    Raises:
        SageError: The avatar has no field, or the field has no surface.
    """
    if canonical is None:
        raise SageError(
            f"{name}: this avatar consists of surfels only, without the signed distance field that a mesh is made of. "
            "Train it with sage-multiview and --pipeline.model.with-sdf True."
        )
    return extract_surface(canonical.field, canonical.appearance, cell_size)


def write_posed_meshes(
    mesh: SurfaceMesh,
    rig: PersonalRig,
    canonical: Float[Tensor, "num_coefficients"],
    poses: Float[Tensor, "num_moments num_coefficients"],
    paths: Sequence[Path],
) -> None:
    """Pose a canonical surface by the rig and write one file per pose.

    Args:
        mesh: the surface at the canonical moment.
        rig: the rig that deforms the surface.
        canonical: motion vector of the canonical moment.
        poses: motion vectors.
        paths: one file per pose.
    """
    if not paths:
        return
    carry = CarriedPoints(mesh.vertices, rig.vertices(canonical), rig.head_model.triangles)
    with tracked(list(zip(poses, paths, strict=True)), "Posing the surface") as shown:
        for motion, path in shown:
            write_mesh(mesh.posed(carry, rig.vertices(motion)), path)
