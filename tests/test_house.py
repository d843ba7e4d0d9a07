"""The plan of the house: imports go down, no circles, small files and functions, nerfstudio where it belongs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import sage_ns

PACKAGE = Path(sage_ns.__file__).parent

FLOORS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("batch",),
    ("bench",),
    ("jobs",),
    ("plugin",),
    ("viewer",),
    ("tracking",),
    ("priors",),
    ("training",),
    ("evaluation",),
    ("video",),
    ("exchange",),
    ("synthetic",),
    ("avatar",),
    ("motion",),
    ("capture",),
    ("field", "raster", "rig"),
    ("geometry", "image"),
    ("system",),
    ("errors",),
)
"""From the roof to the ground. A room may import from its own folder and from floors below; rooms that share a floor
do not import each other."""

KNOWS_NERFSTUDIO = {"plugin", "viewer", "cli", "bench"}

MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 400, 80
COMMON_LINES_OF_A_FILE = 150
"""The median of all files is at most this."""
LARGEST_SHARE_OF_A_ROOM = 0.15


@cache
def modules() -> dict[str, Path]:
    """Dotted names below the package ("rig.binding"; "rig" for its ``__init__``), and their files."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def imported(name: str, at_import: bool = False) -> Iterator[str]:
    """Full names that a module imports anywhere, also inside functions; ``at_import`` = when it is loaded, only."""
    for node in _loaded(tree(name)) if at_import else ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} uses a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def _loaded(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run when a module is loaded: not those of functions, nor what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _loaded(child)


def own(names: Iterator[str]) -> set[str]:
    """Of imported names, the modules of this package that they come from."""
    found = set()
    for full in names:
        if full != "sage_ns" and not full.startswith("sage_ns."):
            continue
        inner = full.removeprefix("sage_ns").removeprefix(".")
        while inner not in modules():
            inner = inner.rpartition(".")[0]
        found.add(inner)
    return found


def room(name: str) -> str:
    return name.partition(".")[0]


def floor(name: str) -> int:
    return next(index for index, rooms in enumerate(FLOORS) if room(name) in rooms)


def test_every_room_has_a_floor():
    rooms = {room(name) for name in modules() if name}
    assert rooms <= {each for rooms in FLOORS for each in rooms}


def test_imports_go_down_only():
    up = [
        f"{name} -> {other}"
        for name in modules()
        if name
        for other in own(imported(name))
        if other and room(other) != room(name) and floor(other) <= floor(name)
    ]
    assert not up, "imports that do not go down:\n" + "\n".join(up)


def test_there_are_no_circles():
    arrows = {name: own(imported(name, at_import=True)) - {name, ""} for name in modules()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "a circle of imports: " + " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(arrows[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


def test_only_some_rooms_know_nerfstudio():
    knowing = {
        name
        for name in modules()
        if room(name) not in KNOWS_NERFSTUDIO
        and any(full == "nerfstudio" or full.startswith("nerfstudio.") for full in imported(name))
    }
    assert not knowing


def test_rooms_import_from_rooms_and_not_from_the_public_face():
    """The face loads names from all floors: a room that used it could climb."""
    public = {f"sage_ns.{name}" for name in sage_ns.__all__ if name != "__version__"}
    assert not [f"{name} -> {full}" for name in modules() if name for full in imported(name) if full in public]


@pytest.mark.parametrize("name", sorted(modules()))
def test_files_and_functions_are_small(name: str):
    assert len(modules()[name].read_text(encoding="utf-8").splitlines()) <= MOST_LINES_OF_A_FILE
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {length} lines"


def test_most_files_are_short_and_no_room_is_crowded():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert sorted(lines.values())[len(lines) // 2] <= COMMON_LINES_OF_A_FILE
    total = sum(lines.values())
    for each in {room(name) for name in lines if name}:
        share = sum(count for name, count in lines.items() if room(name) == each) / total
        assert share <= LARGEST_SHARE_OF_A_ROOM, f"{each} holds {share:.0%} of all lines"
