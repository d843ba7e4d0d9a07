from __future__ import annotations

import pytest

from sage_ns.bench.rows import OTHER_ROWS, ROWS, SAGE_MULTI, check_rows, find_row, in_order, is_row, rows_before
from sage_ns.errors import SageError

AT = "pipeline.datamanager.dataparser."


@pytest.mark.parametrize(
    ("name", "frames", "settings", "title"),
    [
        ("sage-4-moments", "multi", {"num_timesteps": 4}, "SAGE, 4 moments"),
        ("surfels-16-moments", "multi", {"num_timesteps": 16}, "surfels, 16 moments"),
        ("sage-all-moments", "multi", {}, "SAGE, all moments"),
        ("sage-3-cameras", "single", {"num_cameras": 3}, "SAGE, one moment, 3 cameras"),
        ("surfels-multi-3-cameras", "multi", {"num_cameras": 3}, "surfels, all moments, 3 cameras"),
        ("sage-cameras-1-12", "single", {"cameras": (1, 12)}, "SAGE, one moment, cameras 1, 12"),
        ("sage-canonical-0", "single", {"canonical_timestep": 0}, "SAGE, one moment, canonical timestep 0"),
        (
            "sage-canonical-5-cameras-1-3",
            "single",
            {"canonical_timestep": 5, "cameras": (1, 3)},
            "SAGE, one moment, canonical timestep 5, cameras 1, 3",
        ),
    ],
)
def test_variants_by_name(name: str, frames: str, settings: dict, title: str) -> None:
    row = find_row(name)
    assert row == ROWS[name] and is_row(name) and name not in ROWS
    assert row.frames == frames and row.title == title
    assert row.trained_with == {AT + key: value for key, value in settings.items()}


def test_a_variant_keeps_what_its_row_changes() -> None:
    base, row = ROWS["sage-no-mouth"], find_row("sage-no-mouth-2-cameras")
    assert row.trained_with == {**base.trained_with, AT + "num_cameras": 2} and row.method == base.method
    assert find_row("sage-no-wrinkles-2-cameras").drawn_with == ROWS["sage-no-wrinkles"].drawn_with


@pytest.mark.parametrize("name", ["sagge", "", "sage-0-moments", "sagge-4-moments", "sage-four-moments", "-3-cameras"])
def test_names_that_are_no_rows(name: str) -> None:
    assert not is_row(name)
    with pytest.raises(SageError) as error:
        find_row(name)
    assert f"There is no row '{name}'. Rows: surfels-single, " in str(error.value)
    assert "Variants: ROW-N-moments, " in str(error.value)
    with pytest.raises(SageError, match="There is no row"):
        check_rows(["sage", name])


def test_order_of_the_table() -> None:
    names = ["sage-16-moments", SAGE_MULTI, "sage-2-moments", "sage", "surfels-2-cameras", "no such", "surfels-multi"]
    expected = [
        "surfels-2-cameras",
        "surfels-multi",
        "sage",
        "sage-2-moments",
        "sage-16-moments",
        SAGE_MULTI,
        "no such",
    ]
    assert in_order([*names, *names]) == expected


def test_rows_that_may_share_a_training() -> None:
    assert list(rows_before("surfels-single")) == []
    assert list(rows_before("sage"))[:2] == ["surfels-single", "surfels-multi"]
    assert "sage" not in rows_before("sage") and "sage-no-mouth" not in rows_before("sage")
    assert list(rows_before(SAGE_MULTI)) == list(ROWS)
    before = list(rows_before("sage-2-cameras"))
    named = [*ROWS, *OTHER_ROWS]
    assert before[: len(named) + 2] == [*named, "surfels-2-cameras", "surfels-multi-2-cameras"]
    assert "sage-2-cameras" not in before


def test_rows_of_parts_of_eavatar() -> None:
    assert find_row("sage-controlled").trained_with == {"pipeline.model.correction_source": "controlled"}
    assert find_row("sage-split").trained_with == {"pipeline.split_deforming": True}
    names = ("prior_mesh.ply", "prior_mesh.obj", "prior_mesh.glb")
    assert find_row("sage-prior-mesh").beside == {"pipeline.model.prior_mesh": names}
    assert find_row("sage-prior-mesh-3-cameras").beside == find_row("sage-prior-mesh").beside
