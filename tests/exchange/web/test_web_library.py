from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from sage_ns.exchange.web import library
from sage_ns.exchange.web.library import PINNED, SPARK, THREE, Library, WebLibraryError, find_library


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, a working directory without node_modules, and no npm."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(home)


def node_modules(folder: Path, versions: dict[str, str] = PINNED) -> Path:
    """A folder as npm makes it, with stand-ins for the files that are copied."""
    for source in library.FILES:
        path = folder / "node_modules" / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    for name, version in versions.items():
        (folder / "node_modules" / name / "package.json").write_text(json.dumps({"version": version}))
    return folder / "node_modules"


def npm(tmp_path: Path, script: str) -> None:
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)


@pytest.mark.parametrize("inner", ["", "node_modules"])
def test_the_given_folder(tmp_path: Path, inner: str) -> None:
    modules = node_modules(tmp_path / "project")
    found = find_library(tmp_path / "project" / inner, tmp_path)
    assert found.node_modules == modules
    found.copy(tmp_path / "lib")
    assert (tmp_path / "lib/three/LICENSE").read_text() == "three/LICENSE"
    assert (tmp_path / "lib/spark/LICENSE").read_text() == f"{SPARK}/LICENSE"
    for target in json.loads(found.import_map)["imports"].values():
        assert (tmp_path / target).exists()


@pytest.mark.parametrize("where", ["home", "home/deeper/out", "elsewhere"])
def test_a_folder_near_the_working_directory_or_the_page(tmp_path: Path, where: str) -> None:
    modules = node_modules(tmp_path / where)
    assert find_library(None, tmp_path / where / "page").node_modules == modules


def test_a_given_folder_without_them_or_with_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WebLibraryError, match=f"found no {SPARK}"):
        find_library(tmp_path, tmp_path)
    old = node_modules(tmp_path / "old", {**PINNED, THREE: "0.150.1"})
    with pytest.raises(WebLibraryError, match=r"three 0\.150\.1, expected 0\.187\.0"):
        find_library(old, tmp_path)
    (node_modules(tmp_path / "broken") / SPARK / "LICENSE").unlink()
    with pytest.raises(WebLibraryError, match="found no @sparkjsdev/spark/LICENSE"):
        find_library(tmp_path / "broken", tmp_path)


def test_the_error_without_libraries_and_npm_gives_options(tmp_path: Path) -> None:
    with pytest.raises(WebLibraryError, match=r"--library node_modules.*--cdn"):
        find_library(None, tmp_path)


def test_npm_installs_pinned_versions_into_the_cache_once(tmp_path: Path) -> None:
    ready = node_modules(tmp_path / "ready").parent
    npm(tmp_path, f'echo "$@" >> {tmp_path}/asked; /bin/cp -r {ready}/node_modules "$3"')
    for _ in range(2):
        assert find_library(None, tmp_path / "page").node_modules == tmp_path / "home/.cache/sage_ns/web/node_modules"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 1
    assert asked[0].endswith("@sparkjsdev/spark@2.2.0 three@0.187.0")


@pytest.mark.parametrize("script", ["echo offline >&2; exit 1", "exit 0"])
def test_npm_that_fails_is_reported(tmp_path: Path, script: str) -> None:
    npm(tmp_path, script)
    with pytest.raises(WebLibraryError, match=r"npm install into .* failed: (offline|found no)"):
        find_library(None, tmp_path / "page")


def test_a_cdn_is_linked_not_copied(tmp_path: Path) -> None:
    linked = Library(None)
    linked.copy(tmp_path / "lib")
    assert not (tmp_path / "lib").exists()
    imports = json.loads(linked.import_map)["imports"]
    assert all(target.startswith("https://") for target in imports.values())
    assert f"three@{PINNED[THREE]}" in imports["three"]
