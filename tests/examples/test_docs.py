"""Pages refer to existing files, headings, commands, modules and losses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    named = r"(?<![\w/])(?:sage_ns|tests|docs|configs|examples)(?:/\w+)*\.(?:py|yml|md|jpg)\b"
    files = re.findall(named, page.read_text())
    # Names in capitals are placeholders in a recipe.
    assert [file for file in files if not (ROOT / file).is_file() and not re.search(r"[A-Z]{4}", file)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_python_modules_exist(page: Path) -> None:
    text = page.read_text()
    run = re.findall(r"python -m (sage_ns[\w.]+)", text)
    assert [name for name in run if not module_file(name).is_file()] == []
    named = re.findall(r"`(sage_ns(?:\.\w+)+)`", text) + re.findall(r"^from (sage_ns[\w.]*) import", text, re.MULTILINE)
    assert [name for name in named if not exists(name)] == []


def module_file(name: str) -> Path:
    """The file of a module or package."""
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def exists(name: str) -> bool:
    """Whether there is a module of this name, or a module that has the last part of the name."""
    owner, _, member = name.rpartition(".")
    if module_file(name).is_file():
        return True
    return module_file(owner).is_file() and re.search(rf"\b{member}\b", module_file(owner).read_text()) is not None


def test_modules_of_the_house_are_there() -> None:
    text = (ROOT / "docs" / "how_it_works.md").read_text()
    modules = [name for name in re.findall(r"`([\w/]+\.py)`", text) if not name.startswith("tests/")]
    assert len(modules) > 30
    assert [module for module in modules if not (ROOT / "sage_ns" / module).is_file()] == []


def test_losses_of_the_page_are_in_the_config() -> None:
    from dataclasses import fields

    from sage_ns.training.losses import LossWeights

    text = (ROOT / "docs" / "how_it_works.md").read_text()
    table = text.partition("| name | purpose |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert len(named) > 10
    assert named <= {field.name for field in fields(LossWeights)}
