"""Learn a linear prior from people who were fitted at the places of one atlas: tones by regression, modes by PCA."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.atlas import Atlas
from sage_ns.priors.attributes import COLOUR, LOG_SCALES, NUM_ATTRIBUTES, OFFSET, OPACITY
from sage_ns.priors.linear import GROUPS, LinearPrior, groups_of

MOST_MODES = 64
_MOST_TONES = 6
_RIDGE = 1.0
"""People of the mean tone that are added to the regression: with few people, tones explain less."""
_LEAST_TONE = 1e-4
"""Standard deviations of tones below this, in colour 0..1, are noise."""
_IMPORTANCE = ((OFFSET, 1.0), (LOG_SCALES, 0.5), (OPACITY, 0.3), (COLOUR, 5.0))
"""Weight of a unit of each attribute: a mode is what changes the picture most."""


def learn_linear(
    people: Float[Tensor, "num_people num_places 9"], atlas: Atlas, most_modes: int = MOST_MODES
) -> LinearPrior:
    """Return the linear prior of a set of people.

    The mean colours of skin and hair of each person give up to six tones, which the colours of all places are regressed
    on. The rest of each group of places is decomposed into its principal components.

    Args:
        people: attributes of each person, see `sage_ns.priors.attributes`; at least two people.
        atlas: the places.
        most_modes: largest number of modes of each group.

    Raises:
        ValueError: there are fewer than two people.
    """
    if len(people) < 2:
        raise ValueError(f"learn_linear: found {len(people)} person, expected at least 2")
    mean = people.mean(dim=0)
    centred = people - mean
    tones = _tones(people, atlas)
    weights = tones.T @ centred[..., COLOUR].flatten(1) / (len(people) + _RIDGE)
    tone = weights.reshape(tones.shape[1], len(mean), 3)
    centred[..., COLOUR] -= torch.einsum("pt,tkc->pkc", tones, tone)
    importance = torch.ones(NUM_ATTRIBUTES)
    for columns, value in _IMPORTANCE:
        importance[columns] = value
    group = groups_of(atlas)
    count = min(most_modes, len(people) - 1)
    modes = torch.zeros(count, *mean.shape)
    for number in range(len(GROUPS)):
        rows = (group == number).nonzero()[:, 0]
        modes[:, rows] = _components(centred[:, rows], importance, count)
    return LinearPrior(mean, tone, modes, len(people))


def _tones(people: Tensor, atlas: Atlas) -> Float[Tensor, "num_people num_tones"]:
    """Return coordinates of each person's mean colours of skin and hair, uncorrelated and of deviation 1."""
    parts = [_mean_color(people, atlas.labelled(name).nonzero()[:, 0]) for name in ("face", "hair")]
    colors = torch.cat(parts, dim=1).double()
    centred = colors - colors.mean(dim=0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    deviation = values / (len(people) - 1) ** 0.5
    kept = int((deviation[:_MOST_TONES] > _LEAST_TONE).sum())
    return (left[:, :kept] * (len(people) - 1) ** 0.5).to(people)


def _mean_color(people: Tensor, rows: Int[Tensor, "n"]) -> Float[Tensor, "num_people 3"]:
    """Return the mean colour of some places of each person, weighted by opacity."""
    part = people[:, rows]
    weight = part[..., OPACITY].sigmoid()
    return (part[..., COLOUR] * weight).sum(dim=1) / weight.sum(dim=1)


def _components(
    centred: Float[Tensor, "num_people num_rows 9"], importance: Float[Tensor, "9"], count: int
) -> Float[Tensor, "count num_rows 9"]:
    """Return the principal components, each as long as the deviation of the people along it."""
    matrix = (centred * importance).flatten(1)
    # The people are few: the eigenvectors of their Gram matrix give the components.
    values, vectors = torch.linalg.eigh((matrix @ matrix.T).double())
    values, vectors = values.flip(0)[:count].clamp_min(0.0), vectors.flip(1)[:, :count]
    root = values.sqrt().clamp_min(1e-12)
    components = (vectors / root).T.to(matrix) @ matrix  # unit vectors
    scaled = components * (root / (len(centred) - 1) ** 0.5).to(matrix)[:, None]
    return scaled.reshape(count, *centred.shape[1:]) / importance
