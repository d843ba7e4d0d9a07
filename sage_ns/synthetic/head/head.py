"""Build the head model in FLAME's format by code: no licence, no download, a few seconds.

It has FLAME's frame, joints, coefficient counts and region names, but neither its mesh nor its statistics. `surface`
defines its shape, `mesh` triangulates it, `identity` and `expressions` define its linear shapes; this module assembles
the rig.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from sage_ns.rig.head_model import HeadModel
from sage_ns.rig.regions import Regions
from sage_ns.synthetic.head import surface
from sage_ns.synthetic.head.expressions import expression_displacements
from sage_ns.synthetic.head.identity import IDENTITY_SHAPES, identity_displacements
from sage_ns.synthetic.head.mesh import HeadMesh, build_head_mesh

NUM_SHAPE = 300
NUM_EXPRESSION = 100
_MILLIMETRE = 1e-3
_EYE_MERIDIANS = 30
# Polar angles (degrees from the pupil) of the eyeball's rings: dense around iris and pupil.
_EYE_POLAR = (6, 12, 17, 21, 25, 30, 36, 43, 51, 60, 70, 82, 95, 110, 126, 142, 158, 170)


def _smoothstep(value: np.ndarray, start: float | np.ndarray, end: float | np.ndarray) -> np.ndarray:
    t = np.clip((value - start) / (end - start), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _eyeball(center: np.ndarray) -> tuple[Float[np.ndarray, "num_eyeball 3"], Int[np.ndarray, "num_triangles 3"]]:
    """Build a sphere (mm): poles at pupil (vertex 0) and back (last vertex), outward counter-clockwise triangles."""
    polar = np.radians(np.asarray(_EYE_POLAR, dtype=np.float64))
    turn = np.arange(_EYE_MERIDIANS) / _EYE_MERIDIANS * 2 * np.pi
    rings = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(turn),
            np.sin(polar)[:, None] * np.sin(turn),
            np.repeat(np.cos(polar)[:, None], len(turn), axis=1),
        ],
        axis=-1,
    ).reshape(-1, 3)
    directions = np.concatenate([[[0.0, 0.0, 1.0]], rings, [[0.0, 0.0, -1.0]]])
    m = np.arange(_EYE_MERIDIANS)
    after = (m + 1) % _EYE_MERIDIANS
    triangles = [np.stack([0 * m, 1 + m, 1 + after], -1)]
    for ring in range(len(polar) - 1):
        a, b = 1 + ring * _EYE_MERIDIANS, 1 + (ring + 1) * _EYE_MERIDIANS
        triangles += [np.stack([a + m, b + m, b + after], -1), np.stack([a + m, b + after, a + after], -1)]
    last = 1 + (len(polar) - 1) * _EYE_MERIDIANS
    triangles.append(np.stack([last + m, np.full_like(m, len(directions) - 1), last + after], -1))
    return center + surface.EYE_RADIUS * directions, np.concatenate(triangles)


def jaw_weight(mesh: HeadMesh) -> Float[np.ndarray, "num_skin"]:
    """Compute how much each skin vertex follows the jaw: 0 on the upper lip, 1 on the lower, soft beyond corners."""
    x, y = np.abs(mesh.layout[:, 0]), mesh.layout[:, 1]
    z = mesh.vertices[:, 2]
    # the dividing line runs on from the mouth's corner to the jaw joint
    line = np.where(x < surface.MOUTH_HALF_WIDTH, surface.mouth_line(x), -40.5 + 0.55 * (x - 25.5))
    softness = np.interp(x, [0.0, 10.0, 25.0, 40.0, 60.0], [0.3, 0.5, 5.0, 15.0, 26.0])
    below = _smoothstep(line - y, -softness, softness)
    forward = _smoothstep(z + 0.35 * (y + 40.0), -22.0, 18.0)
    throat = _smoothstep(y + 0.45 * z, -94.0, -70.0)
    ear = (mesh.ring == "ear").astype(np.float64)
    return below * forward * throat * (1.0 - ear)


def _skinning(mesh: HeadMesh, num_eyeball: int) -> Float[np.ndarray, "num_vertices 5"]:
    y, z = mesh.vertices[:, 1], mesh.vertices[:, 2]
    head = _smoothstep(y + 0.35 * (z + 50.0), -122.0, -62.0)
    jaw = jaw_weight(mesh) * head
    skin = np.stack([1.0 - head, head - jaw, jaw, np.zeros_like(jaw), np.zeros_like(jaw)], axis=-1)
    eyeballs = np.zeros((2, num_eyeball, 5))
    eyeballs[0, :, 3] = eyeballs[1, :, 4] = 1.0
    return np.concatenate([skin, *eyeballs])


def _joint_regressor(mesh: HeadMesh, num_eyeball: int) -> Float[np.ndarray, "5 num_vertices"]:
    """Express joints as affine means (of least norm) of skin around them; an eye's is midway between its poles."""
    v = mesh.vertices
    num_skin = len(v)
    regressor = np.zeros((5, num_skin + 2 * num_eyeball))
    for joint, target in enumerate((surface.ROOT_JOINT, surface.NECK_JOINT, surface.JAW_JOINT)):
        around = np.flatnonzero((np.linalg.norm((v - target)[:, 1:], axis=-1) < 60.0) & (mesh.ring != "mouth"))
        constraints = np.concatenate([v[around].T, np.ones((1, len(around)))])
        regressor[joint, around] = np.linalg.pinv(constraints) @ np.append(target, 1.0)
    for eye in range(2):
        start = num_skin + eye * num_eyeball
        regressor[3 + eye, [start, start + num_eyeball - 1]] = 0.5
    return regressor


def _skin_regions(mesh: HeadMesh) -> dict[str, Bool[np.ndarray, "num_skin"]]:
    """Return the skin's regions, with the names of FLAME_masks."""
    x, y, z = np.abs(mesh.vertices[:, 0]), mesh.vertices[:, 1], mesh.vertices[:, 2]
    left = mesh.vertices[:, 0] > 0
    ear = (mesh.ring == "ear") & (mesh.ring_index < mesh.ring_index[mesh.ring == "ear"].max())
    hairline = np.interp(
        z, [-130, -85, -60, -45, -34, -14, -4, 8, 22, 40, 60], [-48, -46, -32, 8, 34, 34, 38, 66, 82, 91, 96]
    )
    scalp = (y > hairline + 0.06 * x * (z > 20)) & ~ear
    jaw_line = np.interp(z, [-60, -22, 0, 20, 40, 55], [-28, -34, -56, -70, -80, -86])
    neck = (y < jaw_line) & ~scalp & ~ear
    neck |= (z < -26) & ~scalp & ~ear
    face = ~scalp & ~neck & ~ear
    eye_region = (
        ((mesh.layout - [0, 1]) * [1, 1] - np.where(left, 1, -1)[:, None] * [31, 0] - [0, 31]) / [25, 17]
    ) ** 2
    eye = face & (eye_region.sum(-1) < 1.0) & (z > 30)
    nose = face & (x < np.interp(y, [-20, -6, 10, 36], [20, 21, 15, 9])) & (y > -19) & (y < 36) & (z > 50) & ~eye
    regions = {
        "face": face,
        "neck": neck,
        "scalp": scalp,
        "forehead": face & (y > 59) & (z > 15),
        "nose": nose,
        "lips": (mesh.ring == "mouth") & (mesh.ring_index <= 4),
        "eye_region": eye,
        "left_eye_region": eye & left,
        "right_eye_region": eye & ~left,
        "left_ear": ear & left,
        "right_ear": ear & ~left,
        "boundary": (mesh.ring == "neck") | (neck & (y < -118.0 + 0.16 * z)),
    }
    return regions


def _regions(mesh: HeadMesh, num_eyeball: int) -> Regions:
    num_skin = len(mesh.vertices)
    regions = {name: torch.from_numpy(np.flatnonzero(members)) for name, members in _skin_regions(mesh).items()}
    regions["left_eyeball"] = torch.arange(num_skin, num_skin + num_eyeball)
    regions["right_eyeball"] = torch.arange(num_skin + num_eyeball, num_skin + 2 * num_eyeball)
    return Regions(regions)


def _padded(columns: Float[np.ndarray, "num_vertices 3 used"], total: int) -> torch.Tensor:
    padded = np.zeros((*columns.shape[:2], total), dtype=np.float32)
    padded[..., : columns.shape[-1]] = columns
    return torch.from_numpy(padded)


@lru_cache(maxsize=1)
def _mean_head() -> HeadModel:
    mesh = build_head_mesh()
    eyeballs = [_eyeball(surface.EYE_CENTER * [side, 1.0, 1.0]) for side in (1.0, -1.0)]
    num_skin, num_eyeball = len(mesh.vertices), len(eyeballs[0][0])
    vertices = np.concatenate([mesh.vertices, *(e[0] for e in eyeballs)])
    triangles = np.concatenate([mesh.triangles, *(e[1] + num_skin + i * num_eyeball for i, e in enumerate(eyeballs))])
    is_eyeball = (np.arange(len(vertices)) >= num_skin).astype(np.float64)
    identity = identity_displacements(vertices, is_eyeball).transpose(0, 2, 1)
    expressions = expression_displacements(mesh, jaw_weight(mesh)[:, None])
    names = (*expressions, *(f"unused_{i:02d}" for i in range(NUM_EXPRESSION - len(expressions))))
    skin_columns = np.stack(list(expressions.values()), axis=-1)
    columns = np.concatenate([skin_columns, np.zeros((2 * num_eyeball, *skin_columns.shape[1:]))])
    return HeadModel(
        name="built-in head",
        v_template=torch.from_numpy((vertices * _MILLIMETRE).astype(np.float32)),
        triangles=torch.from_numpy(triangles.astype(np.int64)),
        shape_basis=_padded(identity * _MILLIMETRE, NUM_SHAPE),
        expression_basis=_padded(columns * _MILLIMETRE, NUM_EXPRESSION),
        pose_basis=torch.zeros(36, 3 * len(vertices)),
        joint_regressor=torch.from_numpy(_joint_regressor(mesh, num_eyeball).astype(np.float32)),
        skinning_weights=torch.from_numpy(_skinning(mesh, num_eyeball).astype(np.float32)),
        parents=torch.tensor([-1, 0, 1, 1, 1]),
        regions=_regions(mesh, num_eyeball),
        expression_names=names,
    )


def builtin_identity(seed: int, spread: float = 1.0) -> Float[torch.Tensor, "300"]:
    """Return identity coefficients of person number `seed` for the built-in head; seed 0 is the mean head.

    Args:
        seed: number of the person.
        spread: standard deviation of the coefficients, which are cut at twice as much.
    """
    shape = torch.zeros(NUM_SHAPE)
    if seed:
        drawn = np.random.default_rng(seed).normal(size=len(IDENTITY_SHAPES))
        shape[: len(drawn)] = torch.from_numpy(spread * np.clip(drawn, -2.0, 2.0)).float()
    return shape


@lru_cache(maxsize=4)
def builtin_head(seed: int = 0) -> HeadModel:
    """Return the built-in head in FLAME's layout: 300 identity and 100 expression directions, 5 joints, masks' regions.

    Args:
        seed: 0 is the mean head; any other number bakes that person's identity (`builtin_identity`) into the template.

    Returns:
        A model of some 5,000 vertices in metres. The first directions are the named ones (`expression_names`; identity
        directions are in units of one standard deviation), the rest is zero. Built once per process; do not change it
        in place.
    """
    model = _mean_head()
    if not seed:
        return model
    template = model.v_template + model.shape_basis @ builtin_identity(seed)
    return replace(model, name=f"built-in head {seed}", v_template=template)
