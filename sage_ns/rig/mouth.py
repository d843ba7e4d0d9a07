"""The inside of the mouth as a rig of its own: placed by the geometry of the head, moved by the head's joints.

FLAME has no teeth. GaussianAvatars (Qian et al. 2024) attaches two curved strips behind FLAME's numbered lip vertices,
the upper strip to the neck joint and the lower strip to the jaw joint. This module uses the same joints, but finds the
mouth of any head model by opening its jaw, and models teeth, gums, a tongue and a cavity instead of strips.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.errors import HeadModelError
from sage_ns.geometry.triangle_mesh import TriangleMesh
from sage_ns.rig.flame_params import FlameParams
from sage_ns.rig.head_model import JOINT_NAMES, HeadModel
from sage_ns.rig.mouth_shape import PARTS, mouth_shape
from sage_ns.rig.regions import Regions
from sage_ns.rig.skinning import joints, pose_vertices

_NECK, _JAW, _LEFT_EYE, _RIGHT_EYE = (JOINT_NAMES.index(name) for name in ("neck", "jaw", "left_eye", "right_eye"))
_OPENING = 0.3
"""Radians by which the jaw is opened to find where the lips part."""
_HALF_WIDTH, _EYE_DISTANCE = 0.0245, 0.062
"""Metres on the head that `mouth_shape` fits: from the middle to a corner of the mouth, and between the eyes."""
_SCALES = (0.75, 1.35)
_WINDOW = (0.05, 0.095, 0.02)
"""Search window for the mouth relative to the middle of the eyes, metres: sideways, lowest, highest (downwards)."""
_STEP = 5e-4
_BEHIND_LIPS = 9.5e-3
"""Metres from where the lips meet back to the middle of the mouth."""
_WALLS_BACK = 2e-3
"""Metres from the middle of the mouth back to the walls of the cavity: farther forward, they stand out of cheeks that a
funnel narrows."""
_BEHIND_UPPER_LIP = 10.2e-3
"""Metres from the front of the upper lip back to the front of the upper middle teeth: FaceKit's people 1 to 24, 10.75
+- 1.75 mm at a mean scale of 0.96 (docs/lab_notebook.md)."""
_LIP = 16
"""Steps above and below the seam: 8 mm, the height of a lip."""
_ROLLED_IN = 1.2e-2
"""Metres behind the front of the lips; what is farther back is not their skin: a slit shows the inside of the head."""
_UNDER_SKIN = 3e-3
"""Least distance of the mouth's mesh behind the skin, metres."""
_NEIGHBOURHOOD = 2e-3
_LIP_PAIRS, _FROM_SEAM = 5, 4
"""Number of point pairs on upper and lower lip that measure the gap, and their distance from the seam in steps."""
_HINT = "A mouth needs a jaw joint that opens the lips; switch the mouth interior off for this head model."


@dataclass(frozen=True, eq=False)
class MouthPlacement:
    """Position and size of the closed mouth of an unposed head."""

    center: Float[Tensor, "3"]
    """Metres: between the corners, at the height where the lips meet, a centimetre behind them."""
    rims: tuple[float, float]
    """Height of the lower edge of the upper lip, and of the upper edge of the lower lip, metres; equal for closed
    lips."""
    teeth: float
    """Front (z) of the upper middle teeth, metres."""
    half_width: float
    """Metres from the middle to a corner."""
    scale: float
    """Of teeth and tongue, relative to an average adult's."""
    lips: Int[Tensor, "2 num_pairs"]
    """Vertices of the head on the upper lip, and those below them on the lower lip, in the middle half of the mouth."""


def find_mouth(head_model: HeadModel) -> MouthPlacement:
    """Find where the lips of an unposed head meet: where adjacent points of the skin part when the jaw opens.

    Rays from the front hit the skin. In every column of rays, the lips meet where the vertical displacement by an
    opening jaw changes most. The search needs neither regions nor vertex numbers.

    Args:
        head_model: One person's (identity folded into the template), lips closed, in FLAME's axes.

    Raises:
        HeadModelError: No skin below the eyes parts when the jaw opens.
    """
    vertices = head_model.v_template
    neutral = FlameParams.neutral(head_model)
    eyes = joints(head_model, neutral)[0, [_LEFT_EYE, _RIGHT_EYE]].cpu()
    size = float((eyes[0] - eyes[1]).norm()) / _EYE_DISTANCE
    middle = eyes.mean(dim=0)
    side, low, high = (size * length for length in _WINDOW)
    columns = torch.arange(-side, side, 2 * _STEP * size) + middle[0]
    rows = middle[1] - torch.arange(high, low, _STEP * size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    front = _SkinFront(head_model)
    depth, triangle, barycentric = front.at(torch.stack([x, y], dim=-1).reshape(-1, 2))
    opened = pose_vertices(head_model, replace(neutral, jaw_pose=neutral.jaw_pose + _opening(vertices)))[0]
    moved = (opened - vertices)[:, 1].cpu()
    drop = -(moved[head_model.triangles.cpu()[triangle]] * barycentric).sum(dim=-1)
    drop, depth = drop.reshape(y.shape), depth.reshape(y.shape)

    window = 4
    parting = torch.nan_to_num(drop[window:] - drop[:-window], nan=0.0)
    # the displacement changes little between rays on a smooth surface; it jumps where the lips meet
    most = parting.amax(dim=0)
    steps = torch.arange(len(parting), dtype=parting.dtype)[:, None]
    weight = (parting - 0.8 * most).clamp_min(0.0)
    row = ((weight * steps).sum(dim=0) / weight.sum(dim=0).clamp_min(1e-12)).round().long() + window // 2
    is_open = most > max(0.2 * float(most.max()), 2e-3 * size)
    center_column = int((columns - middle[0]).abs().argmin())
    start, stop = _run_around(is_open, center_column)
    if stop - start < 5:
        raise HeadModelError(f"head model '{head_model.name}': no mouth found. {_HINT}")
    half_width = 0.5 * float(columns[stop - 1] - columns[start])
    inner = torch.arange(len(columns))[start:stop]
    quarter = len(inner) // 4
    inner = inner[quarter : len(inner) - quarter]
    heights = rows[row[inner]]
    # lips roll inwards: the rows next to the seam give their depth
    nearby = torch.stack([depth[(row[inner] + offset).clamp(0, len(rows) - 1), inner] for offset in (-4, 4)])
    lips = float(torch.nan_to_num(nearby, nan=-1e9).amax(dim=0).median())
    scale = ((half_width / _HALF_WIDTH) * size) ** 0.5
    scale = min(max(scale, _SCALES[0]), _SCALES[1])
    center = torch.tensor(
        [0.5 * float(columns[start] + columns[stop - 1]), float(heights.median()), lips - _BEHIND_LIPS * scale]
    )
    beside = torch.stack([row[inner] - _FROM_SEAM, row[inner] + _FROM_SEAM]).clamp(0, len(rows) - 1)
    on_skin = depth[beside, inner].isfinite().all(dim=0).nonzero()[:, 0]
    if len(on_skin) == 0:
        raise HeadModelError(f"head model '{head_model.name}': no lips found above and below the seam. {_HINT}")
    pairs = on_skin[torch.linspace(0, len(on_skin) - 1, _LIP_PAIRS).round().long()]
    met = beside[:, pairs] * len(columns) + inner[pairs]
    corner = barycentric[met].argmax(dim=-1, keepdim=True)
    lips = head_model.triangles.cpu()[triangle[met]].gather(-1, corner)[..., 0]
    rims, front = _rims(depth[:, inner], drop[:, inner], row[inner], rows, size)
    teeth = front - _BEHIND_UPPER_LIP * scale
    return MouthPlacement(center.to(vertices), rims, teeth, half_width, scale, lips.to(vertices.device))


def _rims(
    depth: Float[Tensor, "num_rows num_columns"],
    drop: Float[Tensor, "num_rows num_columns"],
    seam: Int[Tensor, "num_columns"],
    rows: Float[Tensor, "num_rows"],
    size: float,
) -> tuple[tuple[float, float], float]:
    """Return the heights of the rims of upper and lower lip, and the front (z) of the upper lip, metres.

    What hangs on the skull belongs to the upper lip, what follows the jaw to the lower one, and what lies far behind
    both to neither: lips may be apart at rest.

    Args:
        depth: z of what rays from the front hit, NaN off the head.
        drop: by how much an opening jaw lowers it, metres.
        seam: row in which the lips part.
        rows: heights of the rows, metres.
        size: of the head, 1 for an average one.
    """
    number = torch.arange(len(rows))[:, None]
    depth = torch.nan_to_num(depth, nan=-torch.inf)
    at_lips = (number - seam).abs() <= _LIP
    front = torch.where(at_lips, depth, -torch.inf).amax(dim=0)
    skin = ((number - seam).abs() <= 2 * _LIP) & (depth > front - _ROLLED_IN * size)
    follows = torch.where(skin & at_lips, drop, 0.0).amax(dim=0)
    lower = drop > 0.5 * follows
    upper_rim = torch.where(skin & ~lower, number, -1).amax(dim=0).clamp_min(0)
    lower_rim = torch.where(skin & lower, number, len(rows)).amin(dim=0).clamp_max(len(rows) - 1)
    above = (number <= upper_rim) & (number > upper_rim - _LIP)
    lip_front = torch.where(above, depth, -torch.inf).amax(dim=0)
    half = 0.5 * _STEP * size
    heights = float(rows[upper_rim].median()) - half, float(rows[lower_rim].median()) + half
    return heights, float(lip_front.median())


def mouth_model(head_model: HeadModel, expression: Float[Tensor, "num_expression"] | None = None) -> HeadModel:
    """Build the inside of a person's mouth, as a head model that the same FLAME parameters move.

    The upper teeth hang from the upper lip and the lower ones stand under the lower lip of the face at rest. Where a
    tracker shares a person's looks between identity and expression as it likes, the face without expression is not the
    face at rest: its lips may lie millimetres off.

    Upper teeth and gums follow the neck joint, lower teeth, lower gums and the tongue the jaw joint, the walls of the
    cavity both. The regions are the parts (`sage_ns.rig.mouth_shape.PARTS`). Vertices without triangles follow: some of
    the head's lips (regions "upper_lip" and "lower_lip"), which measure the gap between the lips, and the five unposed
    joints of the head. The joint regressor selects these, and expressions therefore move them as in the head.

    Args:
        head_model: One person's (identity folded into the template).
        expression: Of the person's face at rest; None = the face without expression is at rest.

    Raises:
        HeadModelError: The head model has no mouth that a jaw opens.
    """
    like = head_model.v_template
    resting = head_model if expression is None else _at_rest(head_model, expression)
    placement, shape = find_mouth(resting), mouth_shape()
    follows = torch.from_numpy(shape.follows_jaw).float()
    local = torch.from_numpy(shape.vertices).float() * (1e-3 * placement.scale)
    vertices = local + placement.center.cpu()
    upper, lower = placement.rims
    vertices[:, 1] = local[:, 1] + upper + (lower - upper) * follows
    is_wall = torch.from_numpy(shape.part == PARTS.index("cavity"))
    walls = placement.center[2].cpu() - _WALLS_BACK * placement.scale
    vertices[:, 2] = local[:, 2] + torch.where(is_wall, walls, placement.teeth)
    vertices = _behind_skin(vertices, placement, resting).to(like)
    follows = follows.to(like)
    num, num_joints, lips = len(vertices), len(JOINT_NAMES), placement.lips.flatten()
    before_joints = num + len(lips)
    total = before_joints + num_joints
    weights = like.new_zeros(total, num_joints)
    weights[:num, _JAW], weights[:num, _NECK] = follows, 1.0 - follows
    weights[num:before_joints] = head_model.skinning_weights[lips]
    weights[before_joints:, 0] = 1.0
    regressor = like.new_zeros(num_joints, total)
    regressor[:, before_joints:] = torch.eye(num_joints).to(like)
    pose_basis = like.new_zeros(36, total, 3)
    pose_basis[:, num:before_joints] = head_model.pose_basis.reshape(36, -1, 3)[:, lips]
    joint_moves = torch.einsum("jv,vkc->jkc", head_model.joint_regressor, head_model.expression_basis)
    part = torch.from_numpy(shape.part)
    regions = {name: torch.nonzero(part == i)[:, 0] for i, name in enumerate(PARTS)}
    regions |= dict(zip(("upper_lip", "lower_lip"), torch.arange(num, before_joints).reshape(2, -1), strict=True))
    return HeadModel(
        name=f"mouth of {head_model.name}",
        v_template=torch.cat([vertices, like[lips], head_model.joint_regressor @ like]),
        triangles=torch.from_numpy(shape.triangles).to(like.device),
        shape_basis=like.new_zeros(total, 3, 0),
        expression_basis=torch.cat(
            [like.new_zeros(num, *joint_moves.shape[1:]), head_model.expression_basis[lips], joint_moves]
        ),
        pose_basis=pose_basis.reshape(36, -1),
        joint_regressor=regressor,
        skinning_weights=weights,
        parents=head_model.parents,
        regions=Regions(regions).to(like.device),
        expression_names=head_model.expression_names,
    )


def _at_rest(head_model: HeadModel, expression: Float[Tensor, "num_expression"]) -> HeadModel:
    """Return the head model with an expression folded into its template."""
    resting = head_model.v_template + head_model.expression_basis @ expression.to(head_model.v_template)
    return replace(head_model, v_template=resting)


def lip_gap(model: HeadModel, posed: Float[Tensor, "num_vertices 3"]) -> Float[Tensor, ""]:
    """Return the gap between the lips beyond that at rest, in widths of the upper row of teeth.

    Light enters between the lips, not between the teeth: a smile shows teeth while the jaw is closed.

    Args:
        model: The mouth, from `mouth_model`.
        posed: Its vertices at some moment.
    """
    upper, lower = (model.regions.vertices(name) for name in ("upper_lip", "lower_lip"))
    row = model.regions.vertices("upper_teeth")

    def gaps(vertices: Tensor) -> Tensor:
        return (vertices[upper] - vertices[lower]).norm(dim=-1)

    width = (model.v_template[row].amax(dim=0) - model.v_template[row].amin(dim=0)).norm()
    return (gaps(posed) - gaps(model.v_template)).mean().clamp_min(0.0) / width


def _opening(like: Tensor) -> Float[Tensor, "3"]:
    return like.new_tensor([_OPENING, 0.0, 0.0])


def _run_around(mask: Bool[Tensor, "n"], start: int) -> tuple[int, int]:
    """Return first and last + 1 of the run of true values around `start`; gaps of up to 3 are bridged."""
    first = last = start
    while first > 2 and bool(mask[first - 3 : first].any()):
        first -= 1
    while last < len(mask) - 3 and bool(mask[last + 1 : last + 4].any()):
        last += 1
    return (first, last + 1) if bool(mask[first : last + 1].any()) else (start, start)


def _behind_skin(
    vertices: Float[Tensor, "n 3"], placement: MouthPlacement, head_model: HeadModel
) -> Float[Tensor, "n 3"]:
    """Move vertices back that are less than `_UNDER_SKIN` behind the skin in front of them."""
    front = _SkinFront(head_model)
    deepest = torch.full((len(vertices),), float("inf"))
    reach = _NEIGHBOURHOOD * placement.scale
    for right, up in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        depth, _, _ = front.at(vertices[:, :2] + reach * torch.tensor([right, up]))
        # a ray through a slit between the lips misses the skin
        depth = torch.where(depth < placement.center[2].cpu() - 0.03 * placement.scale, torch.inf, depth)
        deepest = torch.minimum(deepest, torch.nan_to_num(depth, nan=torch.inf))
    limit = deepest - _UNDER_SKIN * placement.scale
    return torch.cat([vertices[:, :2], torch.minimum(vertices[:, 2], limit)[:, None]], dim=-1)


class _SkinFront:
    """An unposed head seen from the front, along -z."""

    def __init__(self, head_model: HeadModel) -> None:
        self._vertices, self._triangles = head_model.v_template.cpu(), head_model.triangles.cpu()
        self._caster = TriangleMesh(self._vertices, self._triangles)
        self._start = float(self._vertices[:, 2].max()) + 0.1

    def at(self, points: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "n"], Int[Tensor, "n"], Float[Tensor, "n 3"]]:
        """Return z (NaN off the head), triangle and barycentric coordinates of the skin at positions (x, y)."""
        origins = torch.cat([points, points.new_full((len(points), 1), self._start)], dim=-1)
        directions = points.new_tensor([0.0, 0.0, -1.0]).expand_as(origins)
        hits = self._caster.first_hits(origins, directions).triangle
        triangle = hits.clamp_min(0)
        a, b, c = self._vertices[self._triangles[triangle]].unbind(dim=1)
        ab, ac, ap = (b - a)[:, :2], (c - a)[:, :2], points - a[:, :2]
        area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
        area = torch.where(area.abs() < 1e-14, 1e-14, area)
        second = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
        third = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
        barycentric = torch.stack([1.0 - second - third, second, third], dim=-1).clamp(0.0, 1.0)
        depth = (torch.stack([a, b, c], dim=1)[..., 2] * barycentric).sum(dim=-1)
        return torch.where(hits >= 0, depth, torch.nan), triangle, barycentric
