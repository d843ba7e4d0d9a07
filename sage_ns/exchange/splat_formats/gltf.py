"""Splats as binary glTF with `KHR_gaussian_splatting`.

The writer follows the extension's Release Candidate (KhronosGroup/glTF,
extensions/2.0/Khronos/KHR_gaussian_splatting, as of April 2026). The extension has one kernel, the ellipse: surfels get
a thin third scale. glTF and this package have the same axes (metres, y up, front along +z) and harmonics, and nothing
is rotated. Programs that do not support the extension show coloured points.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from sage_ns.exchange.splat_formats.registry import SplatWriter, register_writer
from sage_ns.system.files import whole_file

if TYPE_CHECKING:
    from torch import Tensor

    from sage_ns.exchange.splats import Splats

EXTENSION = "KHR_gaussian_splatting"


@register_writer
class SplatGltf(SplatWriter):
    """Surfels as thin ellipsoids in one node with one primitive of points."""

    name = "gltf"
    suffix = ".glb"
    summary = f"binary glTF with {EXTENSION}, surfels as thin ellipsoids"
    holds = f"ellipsoids as in `3dgs`, in the extension `{EXTENSION}`; view-dependent colour; always y up"
    programs = "glTF viewers; viewers without the extension show coloured points"

    def write(self, path: Path, splats: Splats) -> None:
        """Write splats as .glb."""
        document = _document(_attributes(splats))
        with whole_file(path) as unfinished:
            document.save_binary(str(unfinished))


def _document(attributes: Mapping[str, Float32[np.ndarray, "num_splats size"]]) -> Any:
    """Make the glTF document, including its buffer, of points with these attributes."""
    import pygltflib as gltf

    content, views, accessors = b"", [], []
    for name, values in attributes.items():
        size = values.shape[1]
        # glTF requires the bounds of POSITION; for the other attributes they are optional.
        bounds = {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()} if name == "POSITION" else {}
        kind = gltf.SCALAR if size == 1 else f"VEC{size}"
        accessors.append(
            gltf.Accessor(
                bufferView=len(views), componentType=gltf.FLOAT, count=len(values), type=kind, byteOffset=0, **bounds
            )
        )
        views.append(
            gltf.BufferView(buffer=0, byteOffset=len(content), byteLength=values.nbytes, target=gltf.ARRAY_BUFFER)
        )
        content += values.tobytes()
    primitive = gltf.Primitive(
        attributes=gltf.Attributes(**{name: index for index, name in enumerate(attributes)}),
        mode=gltf.POINTS,
        extensions={
            EXTENSION: {
                "kernel": "ellipse",
                "colorSpace": "srgb_rec709_display",
                "projection": "perspective",
                "sortingMethod": "cameraDistance",
            }
        },
    )
    document = gltf.GLTF2(
        asset=gltf.Asset(generator="sage_ns"),
        scene=0,
        scenes=[gltf.Scene(nodes=[0])],
        nodes=[gltf.Node(mesh=0)],
        meshes=[gltf.Mesh(primitives=[primitive])],
        buffers=[gltf.Buffer(byteLength=len(content))],
        bufferViews=views,
        accessors=accessors,
        extensionsUsed=[EXTENSION],
    )
    document.set_binary_blob(content)
    return document


def _attributes(splats: Splats) -> dict[str, Float32[np.ndarray, "num_splats size"]]:
    opacities = splats.opacity_logits.sigmoid()[:, None]
    attributes = {
        "POSITION": _array(splats.means),
        "COLOR_0": np.concatenate([_linear(_array(splats.colors)), _array(opacities)], axis=1),
        f"{EXTENSION}:ROTATION": _array(splats.quaternions.roll(-1, dims=-1)),
        f"{EXTENSION}:SCALE": _array(splats.ellipsoid_log_scales.exp()),
        f"{EXTENSION}:OPACITY": _array(opacities),
    }
    coefficients = iter(_array(splats.sh).transpose(1, 0, 2))
    for degree in range(splats.degree + 1):
        for index in range(2 * degree + 1):
            attributes[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{index}"] = np.ascontiguousarray(next(coefficients))
    return attributes


def _array(values: Tensor) -> Float32[np.ndarray, "..."]:
    return np.ascontiguousarray(values.detach().float().cpu().numpy(), dtype="<f4")


def _linear(encoded: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Decode sRGB (IEC 61966-2-1): vertex colours of glTF are linear."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype("<f4")
