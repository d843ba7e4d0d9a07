"""Output of `sage-export web`, and options that it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from sage_ns.avatar.avatar import Avatar
from sage_ns.cli.export_web import ExportWeb
from sage_ns.errors import SageError
from sage_ns.exchange.web.clip import MOST_ROWS, make_clip
from sage_ns.exchange.web.content import web_content
from sage_ns.motion.motion import USUAL_FPS, Motion
from sage_ns.plugin import runs as avatars
from sage_ns.rig import NUM_POSE, FlameParams
from tests.exchange.web.array_files import read_arrays
from tests.exchange.web.web_avatars import tiny_avatar
from tests.tiny import tiny_params


@pytest.fixture
def avatar(monkeypatch: pytest.MonkeyPatch) -> Avatar:
    made = tiny_avatar()
    monkeypatch.setattr(avatars, "open_avatar", lambda path: made)
    return made


def export(folder: Path, **options: object) -> tuple[Path, str]:
    """Export a page; return its folder and the console output."""
    config = folder / "avatar.npz"
    config.touch()
    console = Console(width=200, record=True)
    out = folder / "page"
    ExportWeb(**{"out": out, "load_config": config, "cdn": True, **options}).run(console)  # type: ignore[arg-type]
    return out, console.export_text()


@pytest.mark.usefixtures("avatar")
def test_the_folder_has_page_data_and_licence_note(tmp_path: Path) -> None:
    out, said = export(tmp_path)
    names = {path.name for path in out.iterdir()}
    assert {"index.html", "style.css", "main.js", "avatar.bin"} <= names
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    index = (out / "index.html").read_text()
    for text in (said, index):
        assert "head model &#x27;tiny&#x27;" in text or "head model 'tiny'" in text
        assert "licence" in text
    assert '"imports"' in index
    assert "<!--" not in index
    assert "surfels" in said


def test_the_built_in_head_has_no_licence_note(builtin_head_avatar: Avatar) -> None:
    from sage_ns.exchange.web.folder import licence_note

    content = web_content(builtin_head_avatar, None, 1)
    assert content.is_builtin
    assert licence_note(content) == ""


def test_the_first_surfels_are_an_even_sample(builtin_head_avatar: Avatar) -> None:
    mouth = builtin_head_avatar.mouth
    assert mouth is not None
    content = web_content(builtin_head_avatar, None, 0)
    _, arrays = read_arrays(content.data)
    triangle = arrays["surfels.triangle"]
    num_head = builtin_head_avatar.surfels.num_surfels
    assert len(triangle) == content.num_surfels == num_head + mouth.surfels.num_surfels
    of_mouth = triangle >= builtin_head_avatar.rig.head_model.num_triangles
    share = mouth.surfels.num_surfels / len(triangle)
    assert abs(of_mouth[: len(triangle) // 4].mean() - share) < 0.05
    assert arrays["surfels.sh_rest"].shape == (len(triangle), 0, 3)


def test_expressions_that_nothing_uses_are_left_out(avatar: Avatar) -> None:
    header, arrays = read_arrays(web_content(avatar, make_clip(avatar.motion.recorded()), 1).data)
    assert arrays["rig.expression_basis_index"].tolist() == list(range(10))
    entries = {entry for each in header["sliders"] for entry, _ in each["up"] + each["down"]}
    in_sliders = {entry - NUM_POSE for entry in entries if entry >= NUM_POSE}
    _, without = read_arrays(web_content(avatar, None, 1).data)
    assert set(without["rig.expression_basis_index"].tolist()) == in_sliders
    assert "clip.motion" not in without


def test_a_clip_is_thinned_out_and_its_head_brought_to_the_avatars_place() -> None:
    rows = torch.arange(2 * MOST_ROWS + 1.0)[:, None].expand(-1, 20)
    motion = Motion.of(FlameParams.from_motion_vector(rows), "long", fps=30.0)
    center = torch.tensor([0.1, 0.2, 0.3])
    clip = make_clip(motion, center)
    assert clip is not None
    assert (clip.num_rows, clip.fps) == (1001, 10.0)
    assert torch.equal(clip.timesteps, motion.timesteps[::3])
    torch.testing.assert_close(clip.vectors[:, 3:], rows[::3, 3:])
    torch.testing.assert_close(clip.params.translation.mean(dim=0), center, atol=1e-3, rtol=0)
    assert make_clip(motion[:1]) is None
    short = make_clip(replace(motion, fps=None)[:2])
    assert short is not None and short.fps == USUAL_FPS


def test_a_page_with_the_motion_of_a_driver(avatar: Avatar, tmp_path: Path) -> None:
    params = tiny_params(avatar.rig.head_model, num_timesteps=5, seed=3, size=0.03)
    replace(params, translation=params.translation + 7.0).save_vhap(tmp_path / "driver.npz")
    out, _ = export(tmp_path, motion=tmp_path / "driver.npz", fps=12.0)
    header, arrays = read_arrays((out / "avatar.bin").read_bytes())
    assert header["fps"] == 12.0
    clip = FlameParams.from_motion_vector(torch.from_numpy(arrays["clip.motion"].copy()))
    there = avatar.motion.canonical()[FlameParams.TRANSLATION]
    torch.testing.assert_close(clip.translation.mean(dim=0), there, atol=1e-5, rtol=0)
    still = replace(params, translation=clip.translation)
    torch.testing.assert_close(clip.motion_vector(), still.motion_vector(), atol=1e-6, rtol=0)


@pytest.mark.usefixtures("avatar")
def test_only_pages_are_replaced_and_only_with_overwrite(tmp_path: Path) -> None:
    out, _ = export(tmp_path)
    (out / "left_over.js").touch()
    with pytest.raises(SageError, match="--overwrite"):
        export(tmp_path)
    export(tmp_path, overwrite=True)
    assert not (out / "left_over.js").exists()
    (out / "avatar.bin").unlink()
    with pytest.raises(SageError, match="is not an exported page"):
        export(tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"sh_degree": 4}, "sh_degree=4: expected 0 to 3"),
        ({"fps": 0.0}, "fps=0: expected more than 0"),
        ({"library": Path("x")}, "--cdn and --library"),
        ({"load_config": Path("none.npz")}, "none.npz: no such file"),
        ({"motion": Path("none.npz")}, "none.npz"),
    ],
)
def test_bad_options_are_refused_before_anything_is_loaded(tmp_path: Path, options: dict, complaint: str) -> None:
    with pytest.raises(SageError, match=complaint):
        export(tmp_path, **options)
    assert not (tmp_path / "page").exists()


def test_motion_of_another_rig_is_refused(avatar: Avatar, tmp_path: Path) -> None:
    motion = FlameParams.from_motion_vector(torch.ones(2, NUM_POSE + 40))
    motion.save_vhap(tmp_path / "driver.npz")
    with pytest.raises(SageError, match="40 coefficients in use"):
        export(tmp_path, motion=tmp_path / "driver.npz")
    assert not (tmp_path / "page").exists()
