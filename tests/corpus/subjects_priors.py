"""Subjects of the corpus: priors over people, and folders of pseudo views."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from sage_ns.capture.images import load_image
from sage_ns.capture.pseudo_views import NewView, read_bundle, write_bundle
from sage_ns.priors.coded import load_prior
from sage_ns.priors.linear import LinearPrior
from sage_ns.priors.linear_learning import learn_linear
from sage_ns.priors.predictor import load_predictor
from sage_ns.priors.sitter import reference_atlas
from tests.corpus.subject import Subject
from tests.priors.people import NUM_PLACES, people
from tests.priors.predicted import fresh


def _write_linear(folder: Path) -> Path:
    path = folder / "prior.npz"
    learn_linear(people(4), reference_atlas(NUM_PLACES)).save(path)
    return path


def _read_linear(path: Path) -> Any:
    prior = load_prior(path)
    assert isinstance(prior, LinearPrior)
    return prior.mean, prior.tone, prior.modes, prior.num_people


def _write_predictor(folder: Path) -> Path:
    path = folder / "predictor.npz"
    fresh().save(path)
    return path


def _read_predictor(path: Path) -> Any:
    predictor = load_predictor(path)
    places = predictor.landmarks.triangle, predictor.landmarks.barycentric
    counts = predictor.num_shape, predictor.num_expression, predictor.num_people, predictor.num_clips
    return (
        astuple(predictor.size),
        predictor.rig,
        predictor.rig_name,
        places,
        counts,
        sorted(predictor.weights().items()),
    )


def _write_views(name: str) -> Any:
    def write(folder: Path) -> Path:
        random = np.random.default_rng(0)
        draw = lambda *size: random.integers(0, 256, size, dtype=np.uint8)  # noqa: E731
        pose = np.eye(4)
        pose[2, 3] = 1.0
        views = [
            NewView(draw(8, 6, 3), draw(8, 6), pose, 10.0, 10.0, 3.0, 4.0, 0.5, confidence=draw(8, 6)) for _ in range(2)
        ]
        return write_bundle(folder / "views", views, "somebody", "free") / name

    return write


def _read_views(path: Path) -> Any:
    folder = path.parent if path.suffix == ".json" else path.parent.parent
    bundle = read_bundle(folder)
    frames = [view.frame for view in bundle.views]
    pictures = [load_image(frame.image_path, frame.mask_path) for frame in frames]
    cameras = [(frame.camera_to_world, frame.fx, frame.fy, frame.cx, frame.cy) for frame in frames]
    weights = [(view.weight, view.confidence()) for view in bundle.views]
    return pictures, cameras, weights, bundle.provider, bundle.licence


def subjects() -> list[Subject]:
    """All subjects of this module."""
    return [
        Subject("prior: linear", "npz", _write_linear, _read_linear),
        Subject("predictor", "npz", _write_predictor, _read_predictor),
        Subject("pseudo views: transforms.json", "json", _write_views("transforms.json"), _read_views,
                optional=frozenset({"frames.camera_angle_x", "frames.camera_index"}), named=(".png", "views/x")),
        Subject("pseudo views: picture", "picture", _write_views("images/000.png"), _read_views),
        Subject("pseudo views: mask", "mask", _write_views("fg_masks/000.png"), _read_views),
        Subject("pseudo views: confidence", "mask", _write_views("confidence/000.png"), _read_views),
    ]  # fmt: skip
