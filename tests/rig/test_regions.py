from __future__ import annotations

import torch

from sage_ns.rig import Regions
from tests.tiny import tiny_head_model


def make(**vertices: list[int]) -> Regions:
    return Regions({name: torch.tensor(indices, dtype=torch.int64) for name, indices in vertices.items()})


def test_a_triangle_belongs_to_a_region_with_all_its_corners() -> None:
    triangles = torch.tensor([[0, 1, 2], [1, 2, 3], [3, 4, 5]])
    assert make(lips=[0, 1, 2]).triangle_mask("lips", triangles).tolist() == [True, False, False]
    assert make(lips=[3, 2, 1, 0]).triangle_mask("lips", triangles).tolist() == [True, True, False]


def test_a_missing_region_is_empty() -> None:
    regions = Regions()
    assert not regions and regions.names == () and "lips" not in regions
    for name in ("lips", "hair", "eyes", "skin"):
        assert len(regions.vertices(name)) == 0
        assert not regions.triangle_mask(name, torch.tensor([[0, 1, 2]])).any()
        assert not regions.vertex_mask(name, 3).any()


def test_derived_groups() -> None:
    regions = make(
        scalp=[0, 1, 2, 3], face=[3, 4, 5, 9], neck=[2, 6], left_ear=[7, 1], left_eyeball=[8], right_eyeball=[9]
    )
    assert regions.vertices("hair").tolist() == [0, 1]
    assert regions.vertices("eyes").tolist() == [8, 9]
    assert regions.vertices("skin").tolist() == [2, 3, 4, 5, 6, 7]
    assert set(regions.names) == {"scalp", "face", "neck", "left_ear", "left_eyeball", "right_eyeball"}


def test_a_region_replaces_the_derived_group_of_the_same_name() -> None:
    assert make(hair=[7], scalp=[0, 1]).vertices("hair").tolist() == [7]


def test_vertex_mask_counts() -> None:
    model = tiny_head_model()
    mask = model.regions.vertex_mask("face", model.num_vertices)
    assert mask.nonzero().flatten().tolist() == model.regions.vertices("face").tolist()
