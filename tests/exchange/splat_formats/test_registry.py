"""The registry of splat formats: a format needs only one class that registers itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_ns.errors import SageError
from sage_ns.exchange import splat_formats
from sage_ns.exchange.splat_formats import registry
from sage_ns.exchange.splat_formats.registry import (
    SplatWriter,
    describe_writers,
    register_writer,
    writer_of,
    writers,
    writers_table,
)
from sage_ns.exchange.splats import Splats

DOCS = Path(__file__).parents[3] / "docs" / "formats.md"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[SplatWriter]]:
    """A format that writes the number of splats; removed after the test."""
    monkeypatch.setattr(registry._REGISTRY, "_entries", dict(registry._REGISTRY._entries))

    @register_writer
    class Counts(SplatWriter):
        name, suffix, summary, holds, programs = "count", ".txt", "text with one number", "a number", "people"

        def write(self, path: Path, splats: Splats) -> None:
            path.write_text(str(len(splats.means)))

    yield Counts


def test_every_module_of_the_folder_registers_a_writer() -> None:
    folder = Path(splat_formats.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "registry"}
    assert {type(writer).__module__.rpartition(".")[2] for writer in writers()} == modules
    assert [writer.name for writer in writers()] == ["2dgs", "3dgs", "gltf"]


def test_a_new_format_is_in_all_texts(names: type[SplatWriter]) -> None:
    assert isinstance(writer_of("count"), names)
    assert "count: text with one number" in describe_writers()
    assert "| `count` | `.txt` | a number | people |" in writers_table()
    with pytest.raises(SageError, match="'spz': choose one of 2dgs, 3dgs, count, gltf"):
        writer_of("spz")


def test_a_name_is_taken_once(names: type[SplatWriter]) -> None:
    register_writer(names)

    class Other(names):  # type: ignore[misc, valid-type]
        pass

    with pytest.raises(SageError, match=r"'count' is taken by .*Counts. Choose another name"):
        register_writer(Other)


def test_the_table_of_the_docs_is_that_of_the_registry() -> None:
    found = re.search(r"<!-- splat formats: begin -->\n(.*)\n<!-- splat formats: end -->", DOCS.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == writers_table(), "put writers_table() between the markers of docs/formats.md"
