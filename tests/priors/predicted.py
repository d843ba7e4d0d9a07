"""A small predictor of the built-in head, drawn people, and heads whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from sage_ns.priors.predictor import Predictor
from sage_ns.priors.predictor_pictures import DrawnHeads, draw_people
from sage_ns.priors.predictor_rig import HeadGuess, PredictorRig, SkinPlaces, SquareCamera
from sage_ns.priors.predictor_size import PredictorSize
from sage_ns.priors.sitter import reference_head
from sage_ns.rig import HeadModel
from sage_ns.tracking.embedding import builtin_embedding

SIZE = PredictorSize(side=32, width=32, blocks=1, heads=2, features=8, places=200, place_width=8, directions=12)
DIRECTIONS = (12, 12)
DRAWN_SIDE = 46


@cache
def landmarks() -> SkinPlaces:
    """Some of those of the built-in head."""
    embedding = builtin_embedding()
    return SkinPlaces(embedding.triangle[::7], embedding.barycentric[::7])


def in_float64(model: HeadModel) -> HeadModel:
    """The same head in double precision."""
    names = ("v_template", "shape_basis", "expression_basis", "pose_basis", "joint_regressor", "skinning_weights")
    return replace(model, **{name: getattr(model, name).double() for name in names})


@cache
def double_rig() -> PredictorRig:
    """The built-in head in double precision."""
    places = SkinPlaces(landmarks().triangle, landmarks().barycentric.double())
    return PredictorRig(in_float64(reference_head()), places, *DIRECTIONS)


def fresh(seed: int = 0, size: PredictorSize = SIZE) -> Predictor:
    """A predictor that has learned nothing."""
    return Predictor.fresh(size, reference_head(), landmarks(), DIRECTIONS, seed)


def drawn(folder: Path, num_people: int = 3, per_person: int = 4) -> DrawnHeads:
    """Drawn people of the built-in head."""
    return draw_people(
        reference_head(), landmarks(), DIRECTIONS, num_people, per_person, DRAWN_SIDE, folder, lambda done, total: None
    )


def guesses(count: int, seed: int = 0) -> HeadGuess:
    """Random guesses in double precision."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator).double()

    turns = torch.linalg.qr(torch.eye(3).double() + 0.2 * normal(3, 3)).Q
    turns = turns * torch.linalg.det(turns)[:, None, None]
    return HeadGuess(
        shape=0.5 * normal(DIRECTIONS[0]), expression=0.2 * normal(DIRECTIONS[1]), jaw=0.05 * normal(3),
        eyes=0.1 * normal(4), rotation=_nearest_to_front(turns), place=0.05 * normal(3), light=0.2 * normal(9, 3),
    )  # fmt: skip


def cameras(count: int, seed: int = 0) -> SquareCamera:
    """Squares anywhere in pictures of 640 x 480 pixels."""
    generator = torch.Generator().manual_seed(seed)
    chance = torch.rand(count, 3, generator=generator).double()
    return SquareCamera(
        focal=800 + 400 * chance[:, 0],
        principal=torch.tensor([320.0, 240.0]).double().expand(count, 2),
        center=100 + 300 * chance[:, 1:],
        side=120 + 100 * chance[:, 0],
    )


def _nearest_to_front(turns: Tensor) -> Tensor:
    """The same rotations, with axes flipped in pairs until their diagonals are positive."""
    signs = torch.diagonal(turns, dim1=1, dim2=2).sign()
    signs[:, 2] = signs[:, 0] * signs[:, 1]
    return turns * signs[:, None]
