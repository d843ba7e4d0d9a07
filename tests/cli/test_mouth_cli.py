"""`sage-mouth-prior`: the real command on one small person, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sage_ns.avatar.mouth import around_mouth, load_mouth_prior
from sage_ns.cli.mouth import main
from sage_ns.synthetic.head import builtin_head
from sage_ns.synthetic.open_mouths import film_mouth


@pytest.mark.timeout(240)
def test_a_prior_of_one_small_person(tmp_path: Path) -> None:
    out = tmp_path / "mouth.npz"
    settings = ["--num-people", "1", "--num-cameras", "1", "--size", "32", "--num-surfels", "200", "--num-steps", "2"]
    main([str(out), *settings])
    prior = load_mouth_prior(out)
    assert len(prior.triangle) == 200
    # Skin is neither white paper nor black: the pictures' levels are 0 to 1.
    assert float(prior.skin.min()) > 0.1 and float(prior.skin.max()) < 0.95 and prior.skin[0] > prior.skin[2]


@pytest.mark.slow
def test_the_inside_of_an_open_mouth_is_darker_than_the_skin() -> None:
    sitter = film_mouth(7, 48, 1, around_mouth(builtin_head()))
    assert sitter.pictures
    for picture in sitter.pictures:
        assert picture.image.shape == (48, 48, 3) and picture.inside.shape == (48, 48)
        assert float(picture.image.min()) >= 0.0 and float(picture.image.max()) <= 1.0
    inside = torch.cat([picture.image[picture.inside] for picture in sitter.pictures]).mean(dim=0)
    assert bool((inside < sitter.skin).all()) and inside[0] > inside[2]


@pytest.mark.parametrize(
    ("given", "named"),
    [(["--num-people", "0"], "num_people"), (["--size", "8"], "size"), (["--num-steps", "0"], "num_steps")],
)
def test_settings_out_of_range_are_named_before_any_work(
    tmp_path: Path, given: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "mouth.npz"), *given])
    printed = capsys.readouterr().out
    assert named.replace("_", "-") in printed or named in printed


def test_a_prior_is_an_npz_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "mouth.txt")])
    assert ".npz" in capsys.readouterr().out and not list(tmp_path.iterdir())
