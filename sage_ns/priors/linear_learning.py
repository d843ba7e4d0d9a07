"""Learn a linear prior from people who were fitted at the places of one atlas: tones by regression, modes by PCA."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sage_ns.avatar.atlas import Atlas
from sage_ns.priors.attributes import COLOUR, IMPORTANCE, OPACITY
from sage_ns.priors.linear import LinearPrior
from sage_ns.priors.models.linear import LinearSettings
from sage_ns.priors.parts import GROUPS, groups_of

_RIDGE = 1.0
"""People of the mean tone that are added to the regression: with few people, tones explain less."""
_LEAST_TONE = 1e-4
"""Standard deviations of tones below this, in colour 0..1, are noise."""


def learn_linear(
    people: Float[Tensor, "num_people num_places 9"], atlas: Atlas, most_modes: int = LinearSettings.most_modes
) -> LinearPrior:
    """Return the linear prior of a set of people.

    The mean colours of skin and hair of each person give up to three tones each. The colours of hair are regressed on
    those of hair, all others on all six: brows have the tone of hair. The rest of each group of places is decomposed
    into its principal components.

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
    codes, tone = learn_tones(people, atlas)
    centred = people - mean
    centred[..., COLOUR] -= torch.einsum("pt,tkc->pkc", codes, tone)
    group, importance = groups_of(atlas), people.new_tensor(IMPORTANCE)
    count = min(most_modes, len(people) - 1)
    modes = torch.zeros(count, *mean.shape)
    for number in range(len(GROUPS)):
        rows = (group == number).nonzero()[:, 0]
        modes[:, rows] = _components(centred[:, rows], importance, count)
    return LinearPrior(mean, tone, modes, len(people))


def learn_tones(
    people: Float[Tensor, "num_people num_places 9"], atlas: Atlas
) -> tuple[Float[Tensor, "num_people num_tones"], Float[Tensor, "num_tones num_places 3"]]:
    """Return the tones of each person, and the change of each place's colour per unit of each tone; see `learn_linear`.

    Args:
        people: attributes of each person.
        atlas: the places.
    """
    colors = people[..., COLOUR] - people[..., COLOUR].mean(dim=0)
    skin, hair = (_tones(people, atlas, name) for name in ("face", "hair"))
    both = torch.cat([skin, hair], dim=1)
    tone = _per_tone(both, colors)
    # Hair that no picture shows has the tone of the hair that one shows, whatever the skin is.
    is_hair = (groups_of(atlas) == tuple(GROUPS).index("hair")).nonzero()[:, 0]
    tone[: skin.shape[1], is_hair] = 0.0
    tone[skin.shape[1] :, is_hair] = _per_tone(hair, colors[:, is_hair])
    return both, tone


def _tones(people: Tensor, atlas: Atlas, name: str) -> Float[Tensor, "num_people num_tones"]:
    """Return coordinates of each person's mean colour of one part, uncorrelated and of deviation 1."""
    colors = _mean_color(people, atlas.labelled(name).nonzero()[:, 0]).double()
    left, values, _ = torch.linalg.svd(colors - colors.mean(dim=0), full_matrices=False)
    kept = int((values / (len(people) - 1) ** 0.5 > _LEAST_TONE).sum())
    return (left[:, :kept] * (len(people) - 1) ** 0.5).to(people)


def _per_tone(
    tones: Float[Tensor, "num_people num_tones"], colors: Float[Tensor, "num_people num_rows 3"]
) -> Float[Tensor, "num_tones num_rows 3"]:
    """Return the change of each colour per unit of each tone: ridge regression."""
    normal = tones.T @ tones + _RIDGE * torch.eye(tones.shape[1])
    weights = torch.linalg.solve(normal, tones.T @ colors.flatten(1))
    return weights.reshape(tones.shape[1], *colors.shape[1:])


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
    root, vectors = principal(matrix, count)
    components = (vectors / root).T @ matrix  # unit vectors
    scaled = components * (root / (len(centred) - 1) ** 0.5)[:, None]
    return scaled.reshape(count, *centred.shape[1:]) / importance


def principal(
    matrix: Float[Tensor, "num_people num_entries"], count: int
) -> tuple[Float[Tensor, "count"], Float[Tensor, "num_people count"]]:
    """Return the largest singular values of a matrix, at least 1e-12, and their left vectors.

    The people are few: the eigenvectors of their Gram matrix give them.
    """
    values, vectors = torch.linalg.eigh((matrix @ matrix.T).double())
    root = values.flip(0)[:count].clamp_min(0.0).sqrt().clamp_min(1e-12)
    return root.to(matrix), vectors.flip(1)[:, :count].to(matrix)
