"""Pages refer to what is there: files, headings, commands and modules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        name, _, heading = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if heading:
            assert heading in {anchor(line.lstrip("# ")) for line in file.read_text().splitlines() if line[:1] == "#"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_installed(page: Path) -> None:
    installed = set(re.findall(r"^(sage-[a-z-]+) = \"sage_ns", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?<![\w`/.-])sage-[a-z]+(?:-[a-z]+)*(?= )", page.read_text()))
    methods = {"sage-multiview"}
    assert named - methods <= installed


def test_modules_of_the_house_are_there() -> None:
    text = (ROOT / "docs" / "how_it_works.md").read_text()
    modules = re.findall(r"`([\w/]+\.py)`", text)
    assert len(modules) > 30
    assert [module for module in modules if not (ROOT / "sage_ns" / module).is_file()] == []


def test_losses_of_the_page_are_those_of_the_config() -> None:
    from dataclasses import fields

    from sage_ns.training.losses import LossWeights

    text = (ROOT / "docs" / "how_it_works.md").read_text()
    table = text.partition("| name | asks |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == {field.name for field in fields(LossWeights)}
