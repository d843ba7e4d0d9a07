"""The libraries that draw the splats in the browser, Spark and three.js: found, installed or linked.

This package does not contain them. Both are under the MIT licence; their licence files are copied with them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sage_ns.errors import SageError
from sage_ns.system.cache import cache_dir
from sage_ns.system.json_files import load_json

SPARK, THREE = "@sparkjsdev/spark", "three"
PINNED = {SPARK: "2.2.0", THREE: "0.187.0"}
"""Versions that the page is tested with."""
_LEAST = {SPARK: (2, 2), THREE: (0, 180)}
_BELOW = {SPARK: (3,), THREE: (1,)}
FILES = {
    f"{THREE}/build/three.module.js": "three/three.module.js",
    f"{THREE}/build/three.core.js": "three/three.core.js",
    f"{THREE}/examples/jsm/postprocessing/Pass.js": "three/addons/postprocessing/Pass.js",
    f"{THREE}/examples/jsm/controls/OrbitControls.js": "three/addons/controls/OrbitControls.js",
    f"{THREE}/LICENSE": "three/LICENSE",
    f"{SPARK}/dist/spark.module.min.js": "spark/spark.module.min.js",
    f"{SPARK}/LICENSE": "spark/LICENSE",
}
"""Paths of files in node_modules, and their paths in the exported folder's `lib`."""
_CDN = "https://cdn.jsdelivr.net/npm"
_SECONDS = 300
_HINT = (
    f"Install them (npm install {' '.join(f'{name}@{version}' for name, version in PINNED.items())}) and give "
    "--library node_modules, or let the page load them from a public CDN with --cdn; the page then needs the internet."
)


class WebLibraryError(SageError):
    """The page's libraries are missing, of an unknown version, or cannot be installed."""


@dataclass(frozen=True)
class Library:
    """Source of the page's libraries."""

    node_modules: Path | None
    """Folder to copy from; None = the page loads from a CDN."""

    @property
    def import_map(self) -> str:
        """The page's import map: files of its module names, as JSON."""
        if self.node_modules is None:
            spark, three = (f"{_CDN}/{name}@{PINNED[name]}" for name in (SPARK, THREE))
            imports = {
                "three": f"{three}/build/three.module.js",
                "three/addons/": f"{three}/examples/jsm/",
                SPARK: f"{spark}/dist/spark.module.min.js",
            }
        else:
            imports = {
                "three": "./lib/three/three.module.js",
                "three/addons/": "./lib/three/addons/",
                SPARK: "./lib/spark/spark.module.min.js",
            }
        return json.dumps({"imports": imports}, indent=2)

    def copy(self, folder: Path) -> None:
        """Copy the libraries that the page loads, and their licences, into ``folder``."""
        for source, target in FILES.items():
            if self.node_modules is not None:
                (folder / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.node_modules / source, folder / target)


def find_library(given: Path | None, near: Path) -> Library:
    """Find the libraries in the given folder, in a nearby `node_modules` or in the cache; else install them by npm.

    Nearby folders are the working directory, its parents, and the parents of ``near``.

    Args:
        given: a folder that contains `three` and `@sparkjsdev/spark`, or whose `node_modules` does.
        near: path of the page.

    Raises:
        WebLibraryError: the given folder does not contain them; or none are found, and npm is missing or fails.
    """
    if given is not None:
        folder = given if (given / SPARK).is_dir() else given / "node_modules"
        if problem := _problem(folder):
            raise WebLibraryError(f"{given}: {problem}. {_HINT}")
        return Library(folder)
    cache = cache_dir() / "web"
    here = Path.cwd()
    around = [*(folder / "node_modules" for folder in (here, *here.parents, *near.absolute().parents))]
    for folder in dict.fromkeys((*around, cache / "node_modules")):
        if not _problem(folder):
            return Library(folder)
    return Library(_installed(cache))


def _installed(cache: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise WebLibraryError(f"found neither {SPARK} and {THREE} nor npm to install them. {_HINT}")
    packages = [f"{name}@{version}" for name, version in PINNED.items()]
    cache.mkdir(parents=True, exist_ok=True)
    options = ("--no-audit", "--no-fund", "--no-save", "--ignore-scripts")
    command = [npm, "install", "--prefix", str(cache), *options, *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WebLibraryError(f"npm install into {cache}: {error}. {_HINT}") from error
    problem = _problem(cache / "node_modules")
    if done.returncode != 0 or problem:
        last = (done.stderr.strip().splitlines() or [problem or "no message"])[-1]
        raise WebLibraryError(f"npm install into {cache} failed: {last}. {_HINT}")
    return cache / "node_modules"


def _problem(node_modules: Path) -> str | None:
    """Return why a folder does not provide the libraries; None if it does."""
    for name, least in _LEAST.items():
        package = node_modules / name / "package.json"
        if not package.is_file():
            return f"found no {name} in it"
        content = load_json(package, WebLibraryError)
        version = str(content.get("version") if isinstance(content, dict) else None)
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
        if not least <= numbers < _BELOW[name]:
            return f"found {name} {version}, expected {PINNED[name]} or a compatible version"
    missing = [source for source in FILES if not (node_modules / source).is_file()]
    return f"found no {missing[0]} in it" if missing else None
