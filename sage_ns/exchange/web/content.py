"""The page's data as one file: rigs, surfels, mouth, sliders and the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sage_ns.avatar.portrait import FIELD_OF_VIEW, HEAD_FRACTION
from sage_ns.exchange.web.array_file import array_file
from sage_ns.exchange.web.rig_arrays import kept_vertices, rig_arrays
from sage_ns.exchange.web.sliders import Slider, make_sliders
from sage_ns.exchange.web.surfel_arrays import surfel_arrays
from sage_ns.rig import NUM_POSE, FlameParams, HeadModel
from sage_ns.rig.front import face_direction
from sage_ns.rig.mouth_shape import PARTS, front_edges

if TYPE_CHECKING:
    from sage_ns.avatar.avatar import Avatar
    from sage_ns.avatar.mouth import Mouth
    from sage_ns.motion.motion import Motion

_BUILTIN = "built-in head"


@dataclass(frozen=True, eq=False)
class WebContent:
    """Content of the avatar's file, and facts about it."""

    data: bytes
    sizes: dict[str, int]
    """Bytes by part: rig, surfels, mouth, clip."""
    num_surfels: int
    head_model: str
    """Name of the head model that the rig was made from."""

    @property
    def is_builtin(self) -> bool:
        """Whether the rig is the built-in head, which may be published freely."""
        return self.head_model.startswith(_BUILTIN)


def web_content(avatar: Avatar, clip: Motion | None, sh_degree: int) -> WebContent:
    """Collect the data of an avatar that the page needs.

    Args:
        avatar: the avatar, on any device; parts that its look leaves out are left out here.
        clip: the clip, if any.
        sh_degree: degree of the view-dependent colour that is kept.
    """
    head_model = avatar.rig.head_model.to("cpu")
    mouth = avatar.mouth if avatar.look.mouth else None
    sliders = make_sliders(head_model)
    used = _used_expression(head_model, clip, sliders)
    surfels = [(avatar.lit_surfels(), 0)] + ([(mouth.surfels, head_model.num_triangles)] if mouth else [])
    unseen = avatar.interior & mouth.around if mouth else torch.zeros_like(avatar.interior)
    darkens = avatar.look.dark_interior and mouth is None
    interior = avatar.interior if darkens else torch.zeros_like(avatar.interior)
    parts = {
        "rig": {
            **rig_arrays(head_model, used),
            "interior": interior.cpu().numpy().astype(np.uint8),
            "unseen": unseen.cpu().numpy().astype(np.uint8),
        },
        "surfels": surfel_arrays(surfels, sh_degree),
        "mouth": _mouth_arrays(mouth, head_model, used) if mouth else {},
        "clip": {"motion": clip.vectors.numpy().astype(np.float32)} if clip is not None else {},
    }
    arrays = {f"{part}.{name}": array for part, inner in parts.items() for name, array in inner.items()}
    header = {
        "format": 1,
        "head_model": head_model.name,
        "sh_degree": sh_degree,
        "surfel_size": avatar.look.surfel_size,
        "neutral": avatar.neutral().motion_vector()[0].tolist(),
        "background": avatar.background.tolist(),
        "portrait": _portrait(avatar),
        "fps": clip.fps if clip is not None else 0,
        "sliders": [{**asdict(each), "up": list(each.up.items()), "down": list(each.down.items())} for each in sliders],
    }
    return WebContent(
        data=array_file(header, arrays),
        sizes={part: sum(array.nbytes for array in inner.values()) for part, inner in parts.items()},
        num_surfels=len(arrays["surfels.triangle"]),
        head_model=head_model.name,
    )


def _used_expression(
    model: HeadModel, clip: Motion | None, sliders: Sequence[Slider]
) -> Bool[np.ndarray, "num_expression"]:
    used = np.zeros(NUM_POSE + model.num_expression, bool)
    for slider in sliders:
        used[[*slider.up, *slider.down]] = True
    if clip is not None:
        used |= (clip.vectors != 0).any(dim=0).numpy()
    return used[FlameParams.EXPRESSION]


def _mouth_arrays(
    mouth: Mouth, head_model: HeadModel, used: Bool[np.ndarray, "num_expression"]
) -> dict[str, np.ndarray]:
    """Return the arrays of the mouth's own rig and of its light, see `sage_ns.avatar.mouth.part_shade`.

    The lips, whose gap sets the light, are vertices of the head: `mouth_model` copies them.
    """
    model = mouth.rig.head_model.to("cpu")
    kept = kept_vertices(model)
    part = np.zeros(model.num_vertices, np.uint8)
    for number, name in enumerate(PARTS):
        part[model.regions.vertices(name).numpy()] = number
    seen = kept_vertices(head_model)
    skin = head_model.v_template[torch.from_numpy(seen)]
    lips = {name: model.v_template[model.regions.vertices(name)] for name in ("upper_lip", "lower_lip")}
    return {
        **rig_arrays(model, used),
        "upper_teeth": np.searchsorted(kept, model.regions.vertices("upper_teeth").numpy()).astype(np.uint32),
        "edges": np.searchsorted(kept, front_edges()).astype(np.uint32),
        **{name: _nearest(at, skin).astype(np.uint32) for name, at in lips.items()},
        "part": part[model.triangles[:, 0].numpy()],
        "openings": mouth.openings.cpu().numpy().astype(np.float32),
        "shade": mouth.shade.cpu().numpy().astype(np.float32),
    }


def _nearest(points: Float[Tensor, "n 3"], among: Float[Tensor, "m 3"]) -> Int[np.ndarray, "n"]:
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(points, among, compute_mode=exact).argmin(dim=1).numpy()


def _portrait(avatar: Avatar) -> dict[str, Any]:
    """Return the values for a camera in front of the face, see `sage_ns.avatar.portrait`: lengths in metres."""
    motion = avatar.motion.canonical()
    low, high = avatar.rig.vertices(motion).aminmax(dim=0)
    return {
        "center": ((low + high) / 2).tolist(),
        "across": float((high - low)[0]),
        "up": float((high - low)[1]),
        "back": face_direction(motion).tolist(),
        "field_of_view": FIELD_OF_VIEW,
        "head_fraction": HEAD_FRACTION,
    }
