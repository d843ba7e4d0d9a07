"""Pictures of another method as a row: bad folders are refused before work, results are kept and valid."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sage_ns.bench.job import Settings
from sage_ns.bench.outside import OutsideRow, file_stem, outside_rows, plan_outside, score_outside
from sage_ns.bench.plan import Planner
from sage_ns.errors import SageError
from tests.tiny_capture import write_tiny_capture

TEST, VAL = [(3, 0), (3, 1), (3, 2)], [(0, 2)]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_capture(tmp_path_factory.mktemp("outside") / "head", width=24, height=32)


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(tmp_path / "out", Settings("small", 4))


@pytest.fixture
def pictures(tmp_path: Path, capture: Path) -> Path:
    """The true pictures of the test split."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for moment in TEST:
        shutil.copy(capture / "images" / f"{file_stem(*moment)}.png", folder)
    return folder


def write(path: Path, width: int = 24, height: int = 32) -> None:
    Image.fromarray(np.full((height, width, 3), 200, np.uint8)).save(path)


def test_the_true_pictures_are_perfect(capture: Path, planner: Planner, pictures: Path) -> None:
    jobs = plan_outside(planner, [capture], [OutsideRow("theirs", pictures)])
    assert set(jobs[0].pictures) == set(TEST) and not planner.out.exists()
    (result,) = score_outside(planner, [capture], jobs)
    figures = result.figures("all")
    assert figures["psnr"] == figures["psnr_face"] == pytest.approx(100.0)
    assert figures["ssim"] == pytest.approx(1.0, abs=1e-5) and figures["gmsd"] == pytest.approx(0.0, abs=1e-5)
    assert result.figures("novel_view") == {}
    assert not [name for name in figures if name.startswith("aligned")]


def test_the_val_split_counts_where_it_is_there(capture: Path, planner: Planner, pictures: Path) -> None:
    write(pictures / f"{file_stem(*VAL[0])}.jpg")
    (pictures / "readme.txt").write_text("files that are not pictures do not matter")
    (result,) = score_outside(planner, [capture], plan_outside(planner, [capture], [OutsideRow("a", pictures)]))
    assert 5 < result.figures("novel_view")["psnr"] < 40


def test_results_are_kept_until_pictures_change(
    capture: Path, planner: Planner, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = OutsideRow("theirs", pictures)
    first = score_outside(planner, [capture], plan_outside(planner, [capture], [row]))
    write(pictures / f"{file_stem(*TEST[0])}.png")
    changed = plan_outside(planner, [capture], [row])
    second = score_outside(planner, [capture], changed)
    assert second[0].key != first[0].key and second[0].figures("all")["psnr"] < first[0].figures("all")["psnr"]
    with monkeypatch.context() as patch:
        patch.setattr("sage_ns.bench.outside._score", lambda *_: pytest.fail("scored again"))
        assert score_outside(planner, [capture], changed) == second
        shutil.rmtree(pictures)
        assert score_outside(planner, [capture], []) == second  # of an earlier run
    other = Planner(planner.out, Settings("small", 4, downscale_factor=2))
    assert score_outside(other, [capture], []) == []


def test_several_captures_have_a_folder_each(capture: Path, planner: Planner, pictures: Path, tmp_path: Path) -> None:
    second = write_tiny_capture(tmp_path / "other", width=24, height=32)
    row = OutsideRow("theirs", tmp_path / "both")
    shutil.copytree(pictures, row.folder / "head")
    with pytest.raises(SageError, match=r"both/other is not a folder. With several captures"):
        plan_outside(planner, [capture, second], [row])
    shutil.copytree(pictures, row.folder / "other")
    jobs = plan_outside(planner, [capture, second], [row])
    assert [job.out.parent.parent.name for job in jobs] == ["head", "other"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"00003_01\.png is missing \(of 3 pictures"),
        ("empty", r"00003_00\.png, 00003_01\.png, 00003_02\.png are missing"),
        ("unknown", r"00009_00\.png is not in the test or val split"),
        ("short name", r"3_1\.png is not in the test or val split"),
        ("twice", r"00003_01\.jpg and 00003_01\.png are the same picture"),
        ("resized", r"00003_01\.png has 12 x 16 px, the true picture 24 x 32 px"),
        ("broken", r"00003_01\.png"),
    ],
)
def test_bad_folders_are_refused_before_work(
    change: str, message: str, capture: Path, planner: Planner, pictures: Path
) -> None:
    one = pictures / "00003_01.png"
    if change == "missing":
        one.unlink()
    elif change == "empty":
        shutil.rmtree(pictures)
        pictures.mkdir()
    elif change in ("unknown", "short name"):
        write(pictures / ("00009_00.png" if change == "unknown" else "3_1.png"))
    elif change == "twice":
        write(pictures / "00003_01.jpg")
    elif change == "resized":
        write(one, 12, 16)
    else:
        one.write_bytes(b"no picture")
    with pytest.raises(SageError, match=message):
        plan_outside(planner, [capture], [OutsideRow("theirs", pictures)])
    assert not planner.out.exists()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["sage"], "--row sage: give NAME=FOLDER. --rows chooses among our own rows"),
        (["theirs="], "give NAME=FOLDER"),
        (["sage={folder}"], "'sage' is a row of sage-bench"),
        (["a={folder}", "a={folder}"], "'a' is another --row"),
        (["a/b={folder}"], "the name is 'a/b'"),
        (["={folder}"], "the name is ''"),
        (["a={folder}/nowhere"], "nowhere is not a folder"),
    ],
)
def test_bad_rows_are_refused(texts: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(SageError, match=message):
        outside_rows([text.format(folder=tmp_path) for text in texts])


def test_names_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    assert outside_rows([f"x.1={tmp_path / 'a=b'}"]) == (OutsideRow("x.1", tmp_path / "a=b"),)
