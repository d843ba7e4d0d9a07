"""The exported folder: written to a temporary folder and moved into place when it is complete."""

from __future__ import annotations

import html
import shutil
from pathlib import Path

from sage_ns.errors import SageError
from sage_ns.exchange.web.content import WebContent
from sage_ns.exchange.web.library import Library
from sage_ns.system.files import whole_folder

PAGE = Path(__file__).with_name("page")
DATA = "avatar.bin"
_IMPORT_MAP, _LICENCE = "<!-- import map -->", "<!-- licence -->"


def check_target(folder: Path, overwrite: bool) -> None:
    """Check that the page can be written to ``folder``.

    Raises:
        SageError: the path is a file, a folder with other content, or an export that must not be replaced.
    """
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / DATA).is_file()):
        raise SageError(f"{folder} exists and is not an exported page. Give another folder; this one is not changed.")
    if any(folder.iterdir()) and not overwrite:
        raise SageError(f"{folder} already contains an exported page. Give --overwrite, or another folder.")


def licence_note(content: WebContent) -> str:
    """Return the licence note for publishing a rig from another source; empty for the built-in head."""
    if content.is_builtin:
        return ""
    return (
        f"Contains the mesh and blendshapes of the head model '{content.head_model}' and the likeness of a person. "
        "Publish it only as far as the head model's licence and that person allow."
    )


def write_folder(folder: Path, content: WebContent, library: Library) -> int:
    """Write page, data and libraries, replacing ``folder`` (see `check_target`), and return the size in bytes."""
    with whole_folder(folder.absolute()) as unfinished:
        # shutil.copytree reports a full disk as a text inside of another error.
        for source in PAGE.rglob("*"):
            if source.is_file() and "__pycache__" not in source.parts:
                copy = unfinished / source.relative_to(PAGE)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
        index = unfinished / "index.html"
        text = index.read_text(encoding="utf-8").replace(_IMPORT_MAP, library.import_map)
        index.write_text(text.replace(_LICENCE, html.escape(licence_note(content))), encoding="utf-8")
        library.copy(unfinished / "lib")
        (unfinished / DATA).write_bytes(content.data)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
