"""Close-up pictures of synthetic people with open mouths: several poses and cameras, anatomical colours inside."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sage_ns.raster import PinholeCamera
from sage_ns.rig import HeadModel, pose_vertices
from sage_ns.rig.mouth import mouth_model
from sage_ns.rig.mouth_shape import PARTS, mouth_shape
from sage_ns.synthetic.head import builtin_head, builtin_identity
from sage_ns.synthetic.light import Studio
from sage_ns.synthetic.motion import Curves
from sage_ns.synthetic.person_look import BeardLook, plain_look
from sage_ns.synthetic.render import Person, Quality, StudioCamera, build_scene, render
from sage_ns.synthetic.skin import THROAT, Material, paint
from sage_ns.synthetic.surface import noise
from sage_ns.synthetic.true_skin import TrueSkin

# jaw opening in radians, and expressions; the first pose is the closed mouth, which shows the skin around it
_POSES: tuple[tuple[float, dict[str, float]], ...] = (
    (0.0, {}),
    (0.04, {"mouth_smile": 0.9, "lips_part": 0.8, "upper_lip_raise": 0.7}),
    (0.05, {"mouth_stretch": 0.6, "lips_part": 1.0, "upper_lip_raise": 0.5, "lower_lip_depress": 0.8}),
    (0.12, {"lips_part": 0.6}),
    (0.15, {"mouth_smile": 0.7, "upper_lip_raise": 0.6}),
    (0.22, {"lower_lip_depress": 0.6}),
    (0.28, {"mouth_smile": 0.5, "upper_lip_raise": 0.5}),
    (0.36, {}),
    (0.42, {"lower_lip_depress": 0.5, "upper_lip_raise": 0.5}),
)
# Linear albedo, gloss, sharpness. Cheeks are lined with mucosa as the gums are; only the throat is dark.
_MATERIALS = {
    "upper_teeth": ((0.84, 0.78, 0.68), 0.45, 60.0),
    "lower_teeth": ((0.80, 0.73, 0.63), 0.40, 60.0),
    "upper_gums": ((0.47, 0.19, 0.18), 0.30, 40.0),
    "lower_gums": ((0.47, 0.19, 0.18), 0.30, 40.0),
    "tongue": ((0.45, 0.155, 0.145), 0.08, 25.0),
    "cavity": ((0.42, 0.150, 0.140), 0.05, 20.0),
}
_BETWEEN_TEETH = (0.27, 0.15, 0.11)


@dataclass(frozen=True)
class MouthPicture:
    """One picture of an open mouth."""

    camera: PinholeCamera
    motion: Float[Tensor, "num_coefficients"]
    image: Float[Tensor, "h w 3"]
    inside: Bool[Tensor, "h w"]
    """Pixels that show the inside of the mouth alone."""


@dataclass(frozen=True)
class MouthSitter:
    """A synthetic person, and the pictures of their mouth."""

    head_model: HeadModel
    """Identity folded into the template."""
    skin: Float[Tensor, "3"]
    """Mean colour around the closed mouth."""
    pictures: tuple[MouthPicture, ...]


def film_mouth(seed: int, size: int, num_cameras: int, around: Bool[Tensor, "num_triangles"] | None) -> MouthSitter:
    """Render the mouth of synthetic person number `seed`.

    Args:
        seed: Number of the person.
        size: Width and height of the pictures in pixels.
        num_cameras: Cameras per pose, at random places in front of the head.
        around: Triangles of the built-in head whose mean colour is the skin's; None makes the skin white.
    """
    rng = np.random.default_rng([seed, 950])
    model, shape = builtin_head(), builtin_identity(seed + 1)
    personal = replace(
        model, v_template=model.v_template + model.shape_basis @ shape, shape_basis=model.shape_basis[..., :0]
    )
    mouth = mouth_model(personal)
    whole, interior = _with_mouth(model, mouth)
    person = _sitter(whole, interior, seed)
    pictures, skin = [], torch.ones(3)
    for index, (jaw, expressions) in enumerate(_POSES):
        motion = _motion(model, jaw, expressions, rng)
        params = motion.params(shape.numpy())
        posed = pose_vertices(whole, params)[0]
        scene = build_scene(person, posed.numpy(), motion.expr[0])
        center = posed[interior["upper_teeth"]].mean(dim=0).numpy()
        for _ in range(num_cameras if index else 1):
            camera = _camera(center, size, rng) if index else _straight(center, size)
            image = torch.from_numpy(render(scene, camera, person)[..., :3].astype(np.float32))
            hit = _first_triangles(posed, whole, camera)
            if index == 0:
                if around is not None:
                    seen = torch.isin(hit, torch.nonzero(around)[:, 0])
                    skin = image[seen].mean(dim=0)
                continue
            inside = _eroded(hit >= model.num_triangles)
            if int(inside.sum()) > 20:
                pictures.append(MouthPicture(_pinhole(camera), params.motion_vector()[0], image, inside))
    return MouthSitter(personal, skin, tuple(pictures))


def _is_inside(whole: HeadModel, skin: TrueSkin) -> Bool[np.ndarray, "num_fine"]:
    """Return the mask of the fine vertices of the mouth, whose vertices are the rig's last ones."""
    members = np.zeros((whole.num_vertices, 1))
    members[whole.num_vertices - len(mouth_shape().vertices) :] = 1.0
    return skin.refinement.fine(members)[:, 0] > 0.5


def _with_mouth(model: HeadModel, mouth: HeadModel) -> tuple[HeadModel, dict[str, Tensor]]:
    """Append one person's mouth to the built-in head's vertices; identity coefficients do not move the mouth."""
    num = len(mouth_shape().vertices)
    start = model.num_vertices

    def longer(name: str, dim: int, extra: Tensor) -> Tensor:
        return torch.cat([getattr(model, name), extra.to(model.v_template)], dim=dim)

    whole = replace(
        model,
        v_template=longer("v_template", 0, mouth.v_template[:num]),
        triangles=torch.cat([model.triangles, mouth.triangles + start]),
        shape_basis=longer("shape_basis", 0, torch.zeros(num, 3, model.num_shape)),
        expression_basis=longer("expression_basis", 0, torch.zeros(num, 3, model.num_expression)),
        pose_basis=longer("pose_basis", 1, torch.zeros(36, 3 * num)),
        joint_regressor=longer("joint_regressor", 1, torch.zeros(5, num)),
        skinning_weights=longer("skinning_weights", 0, mouth.skinning_weights[:num]),
    )
    return whole, {name: start + mouth.regions.vertices(name) for name in PARTS}


def _sitter(whole: HeadModel, interior: dict[str, Tensor], seed: int) -> Person:
    is_skin = np.ones((whole.num_vertices, 1))
    is_skin[whole.num_vertices - len(mouth_shape().vertices) :] = 0.0
    is_skin[whole.regions.vertices("eyes").numpy()] = 0.0
    plain = plain_look(seed)
    look = replace(plain, beard=BeardLook(plain.beard.color))
    skin = TrueSkin.of(whole, 2, look, is_skin)
    members = {name: vertices.numpy() for name, vertices in interior.items()}
    outside = paint(whole, skin, members, look)
    return Person(
        skin=skin,
        material=_painted_inside(whole, skin, outside, seed),
        strands=(),
        rig_triangles=whole.triangles.numpy(),
        softness=0.1 + 0.9 * skin.refinement.fine(is_skin)[:, 0],
        studio=Studio(),
        quality=Quality(),
    )


def _painted_inside(whole: HeadModel, skin: TrueSkin, outside: Material, seed: int) -> Material:
    shape = mouth_shape()
    start = whole.num_vertices - len(shape.vertices)
    color, gloss, sharpness = (np.zeros((whole.num_vertices, size)) for size in (3, 1, 1))
    for index, name in enumerate(PARTS):
        chosen = start + np.flatnonzero(shape.part == index)
        albedo, gloss[chosen], sharpness[chosen] = _MATERIALS[name]
        color[chosen] = albedo
    deep = (
        np.clip((-shape.vertices[:, 2] - 8.0) / 35.0, 0.0, 1.0)[:, None]
        * (shape.part == PARTS.index("cavity"))[:, None]
    )
    color[start:] += deep * (np.asarray(THROAT) - color[start:])
    gap = 0.75 * shape.gap[:, None]
    color[start:] += gap * (np.asarray(_BETWEEN_TEETH) - color[start:])
    refine = skin.refinement.fine
    mine = _is_inside(whole, skin)
    grain = 1.0 + 0.10 * noise(skin.q, 3.0, seed + 91) + 0.06 * noise(skin.q, 9.0, seed + 92)
    albedo = np.where(mine[:, None], refine(color) * grain[:, None], outside.albedo)
    return Material(
        np.clip(albedo, 0.002, 0.95),
        np.where(mine, refine(gloss)[:, 0], outside.gloss),
        np.where(mine, refine(sharpness)[:, 0], outside.sharpness),
        mine,
    )


def _motion(model: HeadModel, jaw: float, expressions: dict[str, float], rng: np.random.Generator) -> Curves:
    expr = np.zeros((1, model.num_expression))
    for name, value in expressions.items():
        for full in (name, f"{name}_left", f"{name}_right"):
            if full in model.expression_names:
                expr[0, model.expression_names.index(full)] = value
    zeros = np.zeros((1, 3))
    turn = rng.uniform(-1.0, 1.0, size=(1, 3)) * (0.12, 0.25, 0.08) * bool(expressions or jaw)
    return Curves(expr, zeros, turn, np.array([[jaw, 0.0, 0.0]]), np.zeros((1, 6)), zeros)


def _camera(center: np.ndarray, size: int, rng: np.random.Generator) -> StudioCamera:
    return _aimed(center, size, np.radians(rng.uniform(-50.0, 50.0)), np.radians(rng.uniform(-28.0, 28.0)))


def _straight(center: np.ndarray, size: int) -> StudioCamera:
    return _aimed(center, size, 0.0, 0.0)


def _aimed(center: np.ndarray, size: int, azimuth: float, elevation: float) -> StudioCamera:
    back = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :4] = np.stack([right, np.cross(back, right), back, center + [0, -0.008, 0.02] + 0.8 * back], axis=-1)
    return StudioCamera(pose, 0.8 * size / 0.085, size, size)


def _pinhole(camera: StudioCamera) -> PinholeCamera:
    pose = torch.from_numpy(camera.camera_to_world[:3].astype(np.float32))
    middle = (0.5 * camera.width, 0.5 * camera.height)
    return PinholeCamera.from_opengl(pose, camera.focal, camera.focal, *middle, camera.width, camera.height)


def _first_triangles(posed: Tensor, model: HeadModel, camera: StudioCamera) -> Tensor:
    from sage_ns.geometry.mesh_queries import first_triangles

    columns, rows = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    origins, directions = (torch.from_numpy(np.ascontiguousarray(part)) for part in camera.rays(columns, rows))
    return first_triangles(posed, model.triangles, origins, directions).reshape(camera.height, camera.width)


def _eroded(mask: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Return the mask without the pixels along its border, which partly show the outside."""
    outside = (~mask)[None, None].float()
    return torch.nn.functional.max_pool2d(outside, 3, stride=1, padding=1)[0, 0] < 0.5
