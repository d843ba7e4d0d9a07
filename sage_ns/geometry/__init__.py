"""Rotations, triangle frames and mesh queries on plain tensors; independent of any head model."""

from __future__ import annotations

from sage_ns.geometry.mesh_queries import barycentric_to_points as barycentric_to_points
from sage_ns.geometry.mesh_queries import first_triangles as first_triangles
from sage_ns.geometry.mesh_queries import nearest_triangles as nearest_triangles
from sage_ns.geometry.mesh_queries import sample_triangles as sample_triangles
from sage_ns.geometry.rotations import axis_angle_to_matrix as axis_angle_to_matrix
from sage_ns.geometry.rotations import axis_angle_to_quaternion as axis_angle_to_quaternion
from sage_ns.geometry.rotations import matrix_to_axis_angle as matrix_to_axis_angle
from sage_ns.geometry.rotations import matrix_to_quaternion as matrix_to_quaternion
from sage_ns.geometry.rotations import quaternion_conjugate as quaternion_conjugate
from sage_ns.geometry.rotations import quaternion_multiply as quaternion_multiply
from sage_ns.geometry.rotations import quaternion_slerp as quaternion_slerp
from sage_ns.geometry.rotations import quaternion_to_axis_angle as quaternion_to_axis_angle
from sage_ns.geometry.rotations import quaternion_to_matrix as quaternion_to_matrix
from sage_ns.geometry.rotations import rotation_6d_to_matrix as rotation_6d_to_matrix
from sage_ns.geometry.triangle_mesh import ClosestTriangles as ClosestTriangles
from sage_ns.geometry.triangle_mesh import RayHits as RayHits
from sage_ns.geometry.triangle_mesh import TriangleMesh as TriangleMesh
from sage_ns.geometry.triangles import TriangleFrames as TriangleFrames
from sage_ns.geometry.triangles import triangle_areas as triangle_areas
from sage_ns.geometry.triangles import triangle_frames as triangle_frames
from sage_ns.geometry.triangles import triangle_normals as triangle_normals
