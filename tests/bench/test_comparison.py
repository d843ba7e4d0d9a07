from __future__ import annotations

from pathlib import Path

from sage_ns.bench.comparison import hardest, write_comparison
from tests.bench.results import image


def test_the_worst_faces_each_of_another_moment() -> None:
    images = [image(1, 0, 10.0, face=30.0), image(1, 1, 30.0, face=20.0), image(2, 0, 30.0, face=25.0)]
    images += [image(3, 0, 30.0, face=10.0), image(4, 0, 1.0)]
    assert [(each.timestep, each.camera) for each in hardest(images)] == [(3, 0), (1, 1), (2, 0)]
    assert [each.timestep for each in hardest(images, count=1)] == [3]


def test_without_faces_the_whole_picture_decides() -> None:
    assert [each.timestep for each in hardest([image(1, 0, 30.0), image(2, 0, 20.0)])] == [2, 1]
    assert hardest([]) == []


def test_without_rows_there_is_nothing_to_draw(tmp_path: Path) -> None:
    assert not write_comparison(tmp_path / "picture.png", {})
    assert not (tmp_path / "picture.png").exists()
