"""The registry: the choice of a reader for a path, formats of a user's own, and texts about the formats."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sage_ns.cli.render import main as sage_render
from sage_ns.errors import CaptureError
from sage_ns.motion.files import MotionReader, MotionSplit, describe_readers, load_motion, register_reader, registry
from sage_ns.motion.motion import Motion
from sage_ns.rig import FlameParams
from tests.motion.files.written import MODEL, PARAMS, arrays, assert_same_motion, write_npz
from tests.tiny_capture import write_tiny_capture

FORMATS = Path(__file__).parents[3] / "docs" / "formats.md"
BEGIN, END = "<!-- motion formats: begin -->\n", "\n<!-- motion formats: end -->"


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the readers that a test registers after it."""
    monkeypatch.setattr(registry._REGISTRY, "_entries", dict(registry._REGISTRY._entries))


class JawCsv(MotionReader):
    """A user's own format: one angle per line."""

    name = "jaw angles"
    reads = "a csv of jaw angles"
    keeps = "the opening of the jaw"
    programs = ("a spreadsheet",)

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.read_bytes().startswith(b"jaw\n")

    def read(self, path: Path, split: MotionSplit) -> Motion:
        angles = torch.tensor([float(line) for line in path.read_text().split()[1:]])
        params = FlameParams.from_motion_vector(torch.zeros(len(angles), 18))
        params.jaw_pose[:, 0] = angles
        return Motion.of(params, path, fps=60.0)


def test_a_users_own_format_is_read_and_listed(tmp_path: Path) -> None:
    path = tmp_path / "jaw.csv"
    path.write_text("jaw\n0.1\n0.2\n")
    with pytest.raises(CaptureError, match=r"jaw.csv: a file of the unknown kind '.csv'. Give a folder of Pixel3DMM's"):
        load_motion(path)
    assert register_reader(JawCsv) is JawCsv
    motion = load_motion(path, MODEL)
    assert motion.params.jaw_pose[:, 0].tolist() == pytest.approx([0.1, 0.2]) and motion.fps == 60.0
    assert motion.params.expr.shape == (2, MODEL.num_expression)
    assert "a csv of jaw angles" in describe_readers()
    assert "| jaw angles | a csv of jaw angles | a spreadsheet | the opening of the jaw |" in registry.formats_table()
    with pytest.raises(CaptureError, match="a csv of jaw angles"):
        load_motion(tmp_path / "none.npz")


def test_a_name_belongs_to_one_reader() -> None:
    register_reader(JawCsv)
    register_reader(JawCsv)  # the same cell of a notebook, run again
    assert [reader.name for reader in registry.readers()].count("jaw angles") == 1

    class Other(JawCsv):
        pass

    with pytest.raises(CaptureError, match=r"'jaw angles' is taken by .*JawCsv. Choose another"):
        register_reader(Other)


@pytest.mark.parametrize(("specificity", "name"), [(1, None), (2, "mine"), (0, "npz sequence")])
def test_the_more_specific_reader_reads_and_equals_are_refused(
    tmp_path: Path, specificity: int, name: str | None
) -> None:
    class Mine(JawCsv):
        def recognises(self, path: Path) -> bool:
            return path.name == "mine.npz"

    Mine.name, Mine.specificity = "mine", specificity
    register_reader(Mine)
    path = write_npz(tmp_path / "mine.npz", **arrays())
    if name is not None:
        assert registry.reader_for(path).name == name
        return
    with pytest.raises(CaptureError) as error:
        load_motion(path)
    for expected in (str(path), "'mine' (a csv of jaw angles)", "'npz sequence' (an npz of a whole sequence)"):
        assert expected in str(error.value)


def test_the_content_of_a_folder_chooses_the_reader(tmp_path: Path) -> None:
    """Files of every format are added to one folder; each format is more specific than those before it."""
    folder, capture = tmp_path / "folder", write_tiny_capture(tmp_path / "capture")
    PARAMS.save_vhap(folder / "flame_param")
    written = [
        ("npz folder", lambda: None),
        ("npz sequence", lambda: PARAMS.save_vhap(folder / "flame_param.npz")),
        ("VHAP tracker", lambda: write_npz(folder / "tracked_flame_params_1.npz", **arrays())),
        ("VHAP export", lambda: (capture / "transforms.json").rename(folder / "transforms.json")),
        ("metrical-tracker", lambda: (folder / "00000.frame").touch()),
    ]
    for name, write in written:
        write()
        assert registry.reader_for(folder).name == name
    single_files = ["Live Link Face", "MediaPipe scores", "clip of an actor", "Pixel3DMM", "SHeaP", "SMIRK"]
    assert sorted(reader.name for reader in registry.readers()) == sorted([name for name, _ in written] + single_files)


def test_paths_without_motion_are_refused(tmp_path: Path) -> None:
    for path, found in (("nowhere", "no such file or folder"), ("", r"no motion in this folder \(found nothing\)")):
        with pytest.raises(CaptureError, match=found) as error:
            load_motion(tmp_path / path)
        assert describe_readers() in str(error.value)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CaptureError, match=r"no motion in this folder \(found notes.txt\)"):
        load_motion(tmp_path)
    with pytest.raises(CaptureError, match=r"notes.txt: a file of the unknown kind '.txt'"):
        load_motion(tmp_path / "notes.txt")


def test_identity_is_dropped(tmp_path: Path) -> None:
    PARAMS.save_vhap(tmp_path / "a.npz")
    motion = load_motion(tmp_path / "a.npz", MODEL)
    assert_same_motion(motion.params, PARAMS)
    assert motion.params.static_offset is None and not motion.params.shape.any()
    few = PARAMS.expr.numpy()[:, :4]
    fitted = load_motion(write_npz(tmp_path / "few.npz", **arrays(expr=few, shape=np.ones(7))), MODEL)
    np.testing.assert_array_equal(fitted.params.expr[:, :4].numpy(), few)
    assert fitted.params.expr.shape == PARAMS.expr.shape and not fitted.params.expr[:, 4:].any()


def test_the_docs_have_the_table_of_the_registry() -> None:
    found = FORMATS.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    expected = registry.formats_table()
    assert found == expected, f"put this between the markers in {FORMATS}:\n{expected}"


def test_help_texts_list_the_formats(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    with pytest.raises(SystemExit):
        sage_render(["--help"])
    assert describe_readers() in " ".join(capsys.readouterr().out.split())


def test_texts_import_no_torch() -> None:
    code = "import sys, sage_ns.motion.files as files; files.describe_readers(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
