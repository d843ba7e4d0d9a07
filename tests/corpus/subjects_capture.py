"""Subjects of captures: transforms, pictures, masks, parameters, head models, INSTA's folders."""

from __future__ import annotations

import pickle
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sage_ns.capture.checked import CaptureOptions, inspect_capture
from sage_ns.capture.images import load_image
from sage_ns.capture.insta import convert_insta
from sage_ns.capture.layout import read_capture
from sage_ns.image.super_resolution import open_upscaler
from sage_ns.rig import find_head_model, load_head_model, save_head_model
from sage_ns.rig.eyelids import EYELID_FILES, load_eyelids
from sage_ns.rig.head_model import load_masks
from tests.capture import test_insta
from tests.corpus.damage import Verdict
from tests.corpus.subject import Subject
from tests.image.networks import write_compact
from tests.rig import test_eyelids
from tests.rig.flame_pickles import flame_contents
from tests.tiny import tiny_head_model
from tests.tiny_capture import write_tiny_capture


def _write_capture(name: str) -> Any:
    def write(folder: Path) -> Path:
        return write_tiny_capture(folder, num_timesteps=3) / name

    return write


def _read_capture(path: Path) -> Any:
    """What training, viewer and inspection take from a capture."""
    folder = path.parent if path.parent.name == "given" else path.parent.parent
    checked = inspect_capture(CaptureOptions(folder, frames="multi"))
    splits = checked.splits
    frames = {frame.image_path: frame for frame in (*splits.train, *splits.val, *splits.test)}
    pictures = [load_image(frame.image_path, frame.mask_path) for frame in frames.values()]
    return checked.splits, checked.tracking, checked.head_model, checked.canonical_vertices, pictures


def _capture_subjects() -> list[Subject]:
    listed = ("transforms.json", "transforms_train.json", "transforms_val.json", "transforms_test.json")
    absent: dict[str, tuple[Verdict, str]] = {"missing": ("any", "a capture need not have this split")}
    pictures = ("images/00000_00.png", "fg_masks/00001_00.png")
    params = ("flame_param/00001.npz", "canonical_flame_param.npz")
    return [
        *(
            Subject(
                f"capture: {name}",
                "json",
                _write_capture(name),
                _read_capture,
                # transforms.json beside splits is asked for parameters of more timesteps alone, not for cameras.
                optional=frozenset({"frames.transform_matrix"} if name == "transforms.json" else ()),
                verdicts={} if name == "transforms_train.json" else absent,
                named=(*listed, ".png", ".npz", "given"),
            )
            for name in listed
        ),
        *(Subject(f"capture: {name}", "mask" if "mask" in name else "picture", _write_capture(name), _read_capture)
          for name in pictures),
        Subject("capture: parameters", "npz", _write_capture(params[0]), _read_capture,
                optional=frozenset({"static_offset", "dynamic_offset"}), named=("00000.npz", "00002.npz")),
        Subject("capture: head model", "npz", _write_capture("head_model.npz"), _read_capture,
                named=("00000.npz", "given", "transforms")),
    ]  # fmt: skip


# ---- head models ----------------------------------------------------------------------------------------------------

_HEAD = tiny_head_model()


def _write_flame(folder: Path) -> Path:
    path = folder / "flame2023.pkl"
    path.write_bytes(pickle.dumps({**flame_contents(_HEAD), **_surface()}))
    (folder / "FLAME_masks.pkl").write_bytes(pickle.dumps(_regions()))
    return path


def _surface() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "vt": random.random((40, 2)),
        "ft": random.integers(0, 40, (_HEAD.num_triangles, 3)),
        "lmk_faces_idx": random.integers(0, _HEAD.num_triangles, 5),
        "lmk_bary_coords": np.full((5, 3), 1 / 3),
    }


def _regions() -> dict[str, np.ndarray]:
    return {name: vertices.numpy() for name, vertices in _HEAD.regions.vertices_by_name.items()}


def _write_masks(folder: Path) -> Path:
    return _write_flame(folder).with_name("FLAME_masks.pkl")


def _write_npz_head(folder: Path) -> Path:
    save_head_model(_HEAD, folder / "head_model.npz")
    return folder / "head_model.npz"


def _head_subjects() -> list[Subject]:
    surface = frozenset({"vt", "ft", "lmk_faces_idx", "lmk_bary_coords", "J"})
    beside: dict[str, tuple[Verdict, str]] = {"missing": ("any", "the masks file may be absent")}
    return [
        Subject("head model: FLAME's pickle", "pickle", _write_flame,
                lambda path: load_head_model(find_head_model(path)), optional=surface),
        Subject("head model: FLAME's masks", "pickle", _write_masks,
                lambda path: load_masks(path, _HEAD.num_vertices), optional=frozenset(_HEAD.regions.names)),
        Subject("head model: masks beside it", "pickle", _write_masks,
                lambda path: load_head_model(path.with_name("flame2023.pkl")), optional=frozenset(_HEAD.regions.names),
                verdicts=beside),
        Subject("head model: npz", "npz", _write_npz_head, load_head_model),
    ]  # fmt: skip


# ---- INSTA ----------------------------------------------------------------------------------------------------------


def _write_insta(name: str) -> Any:
    def write(folder: Path) -> Path:
        (folder / "images").mkdir(parents=True)
        (folder / "checkpoint").mkdir()
        from PIL import Image

        for number in test_insta.IDS:
            pixels = np.zeros((test_insta.HEIGHT, test_insta.WIDTH, 4), dtype=np.uint8)
            pixels[..., :3], pixels[:, : test_insta.WIDTH // 2, 3] = test_insta.color(number), 255
            Image.fromarray(pixels).save(folder / "images" / f"{number:05d}.png")
            torch.save(test_insta.checkpoint(number), folder / "checkpoint" / f"{number:05d}.frame")
        train = [test_insta.entry(number) for number in test_insta.IDS if number not in test_insta.TEST_IDS]
        test_insta.write_transforms(folder, train, [test_insta.entry(number) for number in test_insta.TEST_IDS])
        return folder / name

    return write


def _read_insta(path: Path) -> Any:
    folder = path.parent if path.parent.name == "given" else path.parent.parent
    out = folder.parent / "converted"
    shutil.rmtree(out, ignore_errors=True)
    try:
        convert_insta(folder, folder, out)
        save_head_model(_HEAD, out / "head_model.npz")
        capture = read_capture(out)
        return capture, {file.name: file.read_bytes() for file in sorted(out.rglob("*.png"))}
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _insta_subjects() -> list[Subject]:
    return [
        Subject("INSTA: transforms", "json", _write_insta("transforms_train.json"), _read_insta,
                named=(".png", ".frame", "transforms", "given"),
                verdicts={"missing": ("any", "transforms.json alone is enough")}),
        Subject("INSTA: a picture", "picture", _write_insta("images/00001.png"), _read_insta,
                verdicts={"picture: opaque alpha": ("any", "the alpha of INSTA's pictures is their mask")}),
        Subject("INSTA: a checkpoint", "torch", _write_insta("checkpoint/00002.frame"), _read_insta,
                optional=frozenset({"flame/eyelids"}), named=("transforms",)),
    ]  # fmt: skip


def _read_eyelids(path: Path) -> Any:
    return load_eyelids(path.parent, test_eyelids.MODEL.num_vertices)


def _picture_subjects() -> list[Subject]:
    weights = Subject(
        "super-resolution: weights", "torch", lambda folder: write_compact(folder / "x.pth", size=0.1),
        lambda path: open_upscaler(str(path))(torch.ones(5, 6, 3)),
    )  # fmt: skip
    return [
        Subject("eyelids", "npy", lambda folder: test_eyelids.write_eyelids(folder) / EYELID_FILES[1], _read_eyelids),
        *([weights] if find_spec("spandrel") else []),
    ]


def subjects() -> list[Subject]:
    """All subjects of this module."""
    return [*_capture_subjects(), *_head_subjects(), *_insta_subjects(), *_picture_subjects()]
