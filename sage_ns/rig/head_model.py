"""The head model: a mesh with blendshapes and joints, in FLAME's format (Li et al. 2017).

The same code reads FLAME 2020, 2023, 2023 Open and any other model with the same keys: all sizes come from the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from rich.console import Console
from torch import Tensor

from sage_ns.errors import HeadModelError
from sage_ns.rig.regions import Regions
from sage_ns.system.array_fields import ArrayFields, encode_texts, read_npz, write_npz
from sage_ns.system.safe_pickle import load_pickle
from sage_ns.system.user_files import check_regular, fault_of_file, open_regular

JOINT_NAMES = ("root", "neck", "jaw", "left_eye", "right_eye")
FLAME_NUM_SHAPE = 300
"""FLAME's `shapedirs` hold this many identity directions, then the expression directions."""

HEAD_MODEL_VARIABLE = "SAGE_HEAD_MODEL"
_MOST = 1000.0
"""Metres of vertices and directions, and weights of joints: no head has more in any unit that a person may mean."""
HEAD_MODEL_FILE = "head_model.npz"
"""Name of the head model that lies in a capture."""
_FILE_NAMES = (HEAD_MODEL_FILE, "head_model.pkl", "flame2023.pkl", "flame2020.pkl", "generic_model.pkl")
_GET_FLAME = (
    "FLAME is free for research after registration at https://flame.is.tue.mpg.de (download 'FLAME 2023', the versions "
    "with jaw rotation). Without it, `sage-capture synthesize OUT` writes a capture with a built-in head_model.npz."
)
_HINT = "Use a head model pickle as its authors publish it, or a head_model.npz that sage_ns wrote."


@dataclass(frozen=True, eq=False)
class HeadModel:
    """A rigged head: metres, y up, looking along +z, its left along +x; float32; joints as in `JOINT_NAMES`."""

    name: str
    v_template: Float[Tensor, "num_vertices 3"]
    """Mean head, metres."""
    triangles: Int64[Tensor, "num_triangles 3"]
    shape_basis: Float[Tensor, "num_vertices 3 num_shape"]
    """Metres per unit of identity coefficient."""
    expression_basis: Float[Tensor, "num_vertices 3 num_expression"]
    """Metres per unit of expression coefficient."""
    pose_basis: Float[Tensor, "num_pose num_vertices*3"]
    """Corrective offsets (metres) per entry of the joint rotations minus identity, in smplx's layout."""
    joint_regressor: Float[Tensor, "5 num_vertices"]
    skinning_weights: Float[Tensor, "num_vertices 5"]
    parents: Int64[Tensor, "5"]
    """Parent joint of every joint; -1 for the root."""
    regions: Regions = field(default_factory=Regions)
    expression_names: tuple[str, ...] = ()
    """Names of the expression directions; empty where the model has none."""
    uv: Float[Tensor, "num_uv 2"] | None = None
    """Texture coordinates in [0, 1], v up."""
    uv_triangles: Int64[Tensor, "num_triangles 3"] | None = None
    landmark_triangles: Int64[Tensor, "num_landmarks"] | None = None
    """Triangles that the facial landmarks (Multi-PIE order) lie on."""
    landmark_barycentric: Float[Tensor, "num_landmarks 3"] | None = None

    @property
    def num_vertices(self) -> int:
        """Number of mesh vertices."""
        return self.v_template.shape[0]

    @property
    def num_triangles(self) -> int:
        """Number of mesh triangles."""
        return self.triangles.shape[0]

    @property
    def num_shape(self) -> int:
        """Number of identity coefficients."""
        return self.shape_basis.shape[-1]

    @property
    def num_expression(self) -> int:
        """Number of expression coefficients."""
        return self.expression_basis.shape[-1]

    def to(self, device: torch.device | str) -> HeadModel:
        """Return the same model on another device."""
        moved = {name: tensor.to(device) for name, tensor in self._tensors().items()}
        return replace(self, regions=self.regions.to(device), **moved)

    def state(self) -> dict[str, Tensor]:
        """Return all fields as tensors by name, for checkpoints; texts as uint8. Inverse of `from_state`."""
        regions = [self.regions.vertices(name) for name in self.regions.names]
        return {
            **self._tensors(),
            "name": encode_texts((self.name,)),
            "expression_names": encode_texts(self.expression_names),
            "region_names": encode_texts(self.regions.names),
            "region_sizes": torch.tensor([len(vertices) for vertices in regions], dtype=torch.int64),
            "region_vertices": torch.cat([torch.empty(0, dtype=torch.int64), *(v.cpu() for v in regions)]),
        }

    def _tensors(self) -> dict[str, Tensor]:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], source: str = "head model state", hint: str = _HINT) -> HeadModel:
        """Return the head model of a state.

        Args:
            state: What `state` returned, or the same arrays read from a file.
            source: Name of the state in error messages.
            hint: What the user should do; ends every error message.

        Raises:
            HeadModelError: A field is missing, of the wrong shape or type, not finite or inconsistent.
        """
        read = ArrayFields(source, state, HeadModelError, hint)
        basis = {
            "v_template": _in_proportion(read, "v_template", "num_vertices 3"),
            "shape_basis": _in_proportion(read, "shape_basis", "num_vertices 3 num_shape"),
            "expression_basis": _in_proportion(read, "expression_basis", "num_vertices 3 num_expression"),
        }
        names = read.texts("expression_names")
        if names and len(names) != read.sizes["num_expression"]:
            raise read.fail("expression_names", f"{len(names)} names", f"{read.sizes['num_expression']} or none")
        return cls(
            name="\n".join(read.texts("name")) or "unnamed",
            **basis,
            pose_basis=_in_proportion(read, "pose_basis", f"36 {3 * read.sizes['num_vertices']}"),
            expression_names=names,
            regions=_read_regions(read),
            parents=_parents(read, "parents", read.indices("parents", "5")),
            **_rig_fields(read, "triangles", "joint_regressor", "skinning_weights"),
            **_surface_fields(read, "uv", "uv_triangles", "landmark_triangles", "landmark_barycentric"),
        )


def load_head_model(path: Path | str, masks_path: Path | str | None = None) -> HeadModel:
    """Load a head model.

    Args:
        path: A FLAME pickle (with or without chumpy variables; chumpy itself is not needed), or an npz of sage_ns.
        masks_path: FLAME's masks file with the regions. The default is `<model>_masks.pkl` or `FLAME_masks.pkl` beside
            the model. Without either, the model has no regions, and a warning names the consequences. An npz contains
            its regions.

    Raises:
        HeadModelError: The file is missing, unsafe or not in FLAME's format; the message names the file and the key.
    """
    path = Path(path)
    with open_regular(path, HeadModelError, _GET_FLAME) as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        model = HeadModel.from_state(read_npz(path, HeadModelError), str(path))
        return model if masks_path is None else replace(model, regions=load_masks(masks_path, model.num_vertices))
    model = _from_flame(path, load_pickle(path))
    masks_path = masks_path or _masks_beside(path)
    if masks_path is None:
        Console(stderr=True).print(
            f"[yellow]{path}: found no masks file ({path.stem}_masks.pkl or FLAME_masks.pkl) beside it. "
            "Without regions, face and hair are treated alike: the face gets no extra surfels, and the correction "
            "also changes hair."
        )
        return model
    return replace(model, regions=load_masks(masks_path, model.num_vertices))


def save_head_model(model: HeadModel, path: Path | str) -> None:
    """Write a head model, with regions and names, as an npz without pickles; `load_head_model` restores it exactly."""
    write_npz(Path(path), {key: tensor.cpu().numpy() for key, tensor in model.state().items()}, compress=True)


def load_masks(path: Path | str, num_vertices: int) -> Regions:
    """Load regions from a file like FLAME_masks.pkl: a pickled dict of vertex index lists by region name.

    Raises:
        HeadModelError: The file is missing or unsafe, or an index does not fit the head model.
    """
    read = ArrayFields(str(path), load_pickle(Path(path)), HeadModelError, "Use the masks made for this head model.")
    names = [name for name in read.fields if isinstance(name, str)]
    # Dimensions are separated by spaces, and names of regions may have spaces.
    shapes = {name: f"vertices_of_{'_'.join(name.split())}" for name in names}
    return Regions({name: torch.unique(read.indices(name, shapes[name], num_vertices)) for name in names})


def find_head_model(explicit: Path | str | None = None, capture_dir: Path | str | None = None) -> Path:
    """Return the head model file to use: the given one, else one beside the capture, else that of SAGE_HEAD_MODEL.

    Args:
        explicit: Path given by the user; must exist.
        capture_dir: Folder of the capture. The function searches this folder and its parent for head_model.npz,
            head_model.pkl, flame2023.pkl, flame2020.pkl and generic_model.pkl.

    Raises:
        HeadModelError: No file was found; the message lists the searched places and says how to get a head model.
    """
    if explicit is not None:
        check_regular(Path(explicit), HeadModelError, _GET_FLAME)
        return Path(explicit)
    folders = [] if capture_dir is None else [Path(capture_dir), Path(capture_dir).resolve().parent]
    for folder in folders:
        for name in _FILE_NAMES:
            if os.path.lexists(folder / name):  # what has the name but is no file must not select another one
                check_regular(folder / name, HeadModelError, _GET_FLAME)
                return folder / name
    from_environment = os.environ.get(HEAD_MODEL_VARIABLE)
    if from_environment:
        fault = fault_of_file(from_environment)
        if fault is None:
            return Path(from_environment)
        raise HeadModelError(f"head model {from_environment} (from {HEAD_MODEL_VARIABLE}): {fault}. {_GET_FLAME}")
    searched = " and ".join(str(folder) for folder in folders) or "no capture folder"
    raise HeadModelError(
        f"no head model found: searched {searched} for {', '.join(_FILE_NAMES)}; {HEAD_MODEL_VARIABLE} is not set. "
        f"Put a head model into one of these folders, or give its path. {_GET_FLAME}"
    )


def _from_flame(path: Path, contents: Mapping[str, Any]) -> HeadModel:
    """Convert FLAME's keys: `shapedirs` = 300 identity | expression directions, `posedirs` to smplx's layout."""
    read = ArrayFields(str(path), contents, HeadModelError, _HINT)
    v_template = _in_proportion(read, "v_template", "num_vertices 3")
    shapedirs = _in_proportion(read, "shapedirs", "num_vertices 3 num_shape+num_expression")
    if shapedirs.shape[-1] <= FLAME_NUM_SHAPE:
        found = f"{shapedirs.shape[-1]} directions"
        raise read.fail("shapedirs", found, f"more than {FLAME_NUM_SHAPE}: identity first, then expression")
    posedirs = _in_proportion(read, "posedirs", "num_vertices 3 36")
    kintree = read.indices("kintree_table", "2 5")
    return HeadModel(
        name=path.stem,
        v_template=v_template,
        shape_basis=shapedirs[..., :FLAME_NUM_SHAPE].contiguous(),
        expression_basis=shapedirs[..., FLAME_NUM_SHAPE:].contiguous(),
        pose_basis=posedirs.flatten(0, 1).T.contiguous(),
        parents=_parents(read, "kintree_table", kintree[0]),
        **_rig_fields(read, "f", "J_regressor", "weights"),
        **_surface_fields(read, "vt", "ft", "lmk_faces_idx", "lmk_bary_coords"),
    )


def _in_proportion(read: ArrayFields, key: str, shape: str) -> Float[Tensor, "..."]:
    """Read metres, or weights, of a head."""
    values = read.floats(key, shape)
    read.check_magnitude(key, values, _MOST)
    return values


def _rig_fields(read: ArrayFields, triangles: str, regressor: str, weights: str) -> dict[str, Any]:
    """Read triangles, joint regressor and skinning weights under their names in the file."""
    skinning_weights = read.floats(weights, "num_vertices 5")
    if not len(skinning_weights):
        raise read.fail(weights, "no vertices", "at least one")
    sums = skinning_weights.sum(dim=-1)
    if (sums - 1).abs().max() > 1e-3:
        raise read.fail(weights, f"rows that sum to {sums.min():.4g}..{sums.max():.4g}", "rows that sum to 1")
    return {
        "triangles": read.indices(triangles, "num_triangles 3", read.sizes["num_vertices"]),
        "joint_regressor": _in_proportion(read, regressor, "5 num_vertices"),
        "skinning_weights": skinning_weights,
    }


def _surface_fields(
    read: ArrayFields, uv: str, uv_triangles: str, landmark_triangles: str, landmark_barycentric: str
) -> dict[str, Any]:
    """Read texture coordinates and landmarks; each only if the file has both of its arrays."""
    surface = {}
    if uv in read and uv_triangles in read:
        surface["uv"] = read.floats(uv, "num_uv 2")
        surface["uv_triangles"] = read.indices(uv_triangles, "num_triangles 3", read.sizes["num_uv"])
    if landmark_triangles in read and landmark_barycentric in read:
        limit = read.sizes["num_triangles"]
        surface["landmark_triangles"] = read.indices(landmark_triangles, "num_landmarks", limit)
        surface["landmark_barycentric"] = read.floats(landmark_barycentric, "num_landmarks 3")
    return surface


def _parents(read: ArrayFields, key: str, parents: Int64[Tensor, "5"]) -> Int64[Tensor, "5"]:
    """Return parents with that of the root as -1 (2^32 - 1 in files); check that parents precede their children."""
    parents = torch.where(parents >= 2**31, -1, parents)
    order = torch.arange(len(parents))
    if parents[0] != -1 or (parents[1:] < 0).any() or (parents[1:] >= order[1:]).any():
        raise read.fail(key, f"parents {parents.tolist()}", "a root (-1 or 2^32 - 1), then parents before children")
    return parents


def _read_regions(read: ArrayFields) -> Regions:
    names = read.texts("region_names")
    vertices = read.indices("region_vertices", "num_region_vertices", read.sizes["num_vertices"])
    sizes = read.indices("region_sizes", "num_regions", len(vertices) + 1).tolist()
    if len(sizes) != len(names) or sum(sizes) != len(vertices):
        found = f"{len(sizes)} sizes that sum to {sum(sizes)}"
        raise read.fail("region_sizes", found, f"{len(names)} sizes that sum to {len(vertices)}")
    return Regions(dict(zip(names, vertices.split(sizes), strict=True)))


def _masks_beside(path: Path) -> Path | None:
    for name in (f"{path.stem}_masks.pkl", "FLAME_masks.pkl"):
        if os.path.lexists(path.parent / name):  # what has the name but is no file is refused when it is read
            return path.parent / name
    return None
