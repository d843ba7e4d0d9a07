"""Panels of people."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_ns.bench.facekit_people import SCRIPTS, draw_front, is_drawn, settings
from sage_ns.bench.panel import draw_panel, find_facekit
from sage_ns.errors import SageError
from sage_ns.synthetic.studio import SyntheticCapture
from sage_ns.system.files import write_json


def test_bad_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAGE_SHARED", raising=False)
    with pytest.raises(SageError, match=r"no panel 'x'\. Panels: facekit, facekit-turning, facekit-photo, builtin"):
        draw_panel("x", tmp_path, [1])
    with pytest.raises(SageError, match=r"--people is \[\]"):
        draw_panel("builtin", tmp_path, [])
    with pytest.raises(SageError, match="set SAGE_SHARED to the folder that contains facekit/"):
        draw_panel("facekit", tmp_path, [1])
    monkeypatch.setenv("SAGE_SHARED", str(tmp_path))
    with pytest.raises(SageError, match=r"facekit has no people/people.py. Set SAGE_SHARED"):
        find_facekit()


def test_people_that_are_kept_for_checks_are_refused(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_SHARED", str(shared))
    with pytest.raises(SageError, match="100 to 199, which are kept for checks"):
        draw_panel("facekit", tmp_path, [5, 150])


def test_people_that_are_there_are_not_drawn_again(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_SHARED", str(shared))
    for name in ("p007", "p007_exact"):
        write_json(tmp_path / name / "drawn.json", settings())
    assert is_drawn(tmp_path / "p007")
    monkeypatch.setattr("sage_ns.bench.panel._draw_apart", lambda *_: pytest.fail("drawn again"))
    panel = draw_panel("facekit", tmp_path, [7])
    assert [each.name for each in panel.captures] == ["p007", "p007_exact"]
    assert panel.head_model is not None and panel.head_model.is_file()


def test_a_front_is_drawn_once_and_only_with_the_scripts(tmp_path: Path) -> None:
    with pytest.raises(SageError, match=r"--front is 5; give 0\.1 to 2"):
        draw_front(tmp_path, tmp_path, 1, 5.0)
    with pytest.raises(SageError, match=r"found no people/people\.py; expected the scripts and data"):
        draw_front(tmp_path, tmp_path, 1, 0.5)
    for name in SCRIPTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    write_json(tmp_path / "p001_front" / "drawn.json", {**settings(), "scale": 0.5})
    assert draw_front(tmp_path, tmp_path, 1, 0.5) == tmp_path / "p001_front"


def test_built_in_people_with_and_without_tracking_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[SyntheticCapture] = []

    def draw(folder: Path, settings: SyntheticCapture) -> None:
        drawn.append(settings)
        folder.mkdir(exist_ok=True)

    monkeypatch.setattr("sage_ns.bench.panel.synthesize_capture", draw)
    panel = draw_panel("builtin", tmp_path, [1, 2])
    assert [each.name for each in panel.captures] == ["b001", "b002", "b001_exact", "b002_exact"]
    assert [(each.seed, each.hair, each.tracking_error) for each in drawn] == [
        *((1, "long", 1.0), (2, "short", 1.0)),
        *((1, "long", 0.0), (2, "short", 0.0)),
    ]
    draw_panel("builtin", tmp_path, [1, 2, 3])
    assert [each.seed for each in drawn[4:]] == [3, 3]


@pytest.mark.slow
def test_a_facekit_person(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sage_ns.capture import read_capture

    monkeypatch.setenv("SAGE_SHARED", str(shared))
    panel = draw_panel("facekit", tmp_path, [1])
    noisy, exact = (read_capture(each) for each in panel.captures)
    for split in ("train", "val", "test"):
        assert len(getattr(noisy, split)) == len(getattr(exact, split))
