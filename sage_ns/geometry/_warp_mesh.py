# type: ignore  # Warp compiles these functions in its own dialect, which type checkers do not support
"""Kernels of :mod:`sage_ns.geometry.triangle_mesh`: each thread handles one ray or point.

`first` is the index of the first ray or point of a launch, so that several launches share the arrays.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

_FAR = wp.constant(1.0e15)
"""Search distance that no scene exceeds; its square still fits into float32."""
_ACCURACY = wp.constant(2.0)
"""The triangles of a tree node are approximated beyond this many times their radius (Barill et al. 2018)."""

Vectors = wp.array(dtype=wp.vec3)
Numbers = wp.array(dtype=wp.int32)
Flags = wp.array(dtype=wp.bool)


@wp.kernel
def first_hits(
    mesh: wp.uint64, first: int, origins: Vectors, directions: Vectors, triangle: Numbers, hit: Vectors
) -> None:
    """Write the first triangle on a ray (-1: none), the weights of its first two corners there, and the distance."""
    i = first + wp.tid()
    found = wp.mesh_query_ray(mesh, origins[i], directions[i], _FAR)
    if found.result:
        triangle[i] = found.face
        hit[i] = wp.vec3(found.u, found.v, found.t)
    else:
        triangle[i] = -1


@wp.kernel
def any_hits(mesh: wp.uint64, first: int, origins: Vectors, directions: Vectors, blocked: Flags) -> None:
    """Write whether a ray meets any triangle."""
    i = first + wp.tid()
    blocked[i] = wp.mesh_query_ray_anyhit(mesh, origins[i], directions[i], _FAR)


@wp.kernel
def closest(mesh: wp.uint64, first: int, points: Vectors, triangle: Numbers, weights: Vectors) -> None:
    """Write the closest triangle of a point (-1: none) and the barycentric coordinates of the closest point."""
    i = first + wp.tid()
    found = wp.mesh_query_point_no_sign(mesh, points[i], _FAR)
    if found.result:
        triangle[i] = found.face
        weights[i] = wp.vec3(found.u, found.v, 0.0)
    else:
        triangle[i] = -1


@wp.kernel
def inside(mesh: wp.uint64, first: int, points: Vectors, result: Flags) -> None:
    """Write whether the winding number of the mesh at a point is above 0.5."""
    i = first + wp.tid()
    found = wp.mesh_query_point_sign_winding_number(mesh, points[i], _FAR, _ACCURACY, 0.5)
    result[i] = found.result and found.sign < 0.0
