"""What pages send beyond what their controls offer, and which of nerfstudio's controls are left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import viser
from nerfstudio.viewer.control_panel import ControlPanel
from nerfstudio.viewer.export_panel import populate_export_tab
from nerfstudio.viewer.render_panel import populate_render_tab
from viser._messages import GuiUpdateMessage

from sage_ns.viewer.nerfstudio_controls import fit_controls
from sage_ns.viewer.page_updates import plain_name
from tests.integration.conftest import free_port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[viser.ViserServer]:
    """Tabs of nerfstudio's viewer, fitted to the method."""
    server = viser.ViserServer(host="127.0.0.1", port=free_port(), verbose=False)
    tabs = server.gui.add_tab_group()
    with tabs.add_tab("Control"):
        nothing = lambda *_: None  # noqa: E731
        control = ControlPanel(server, True, 10.0, nothing, nothing, nothing)
    with tabs.add_tab("Render"):
        populate_render_tab(server, tmp_path / "config.yml", tmp_path, control)
    with tabs.add_tab("Export"):
        populate_export_tab(server, control, tmp_path / "config.yml", object())  # type: ignore[arg-type]
    viewer: Any = SimpleNamespace(viser_server=server)
    fit_controls(viewer)
    yield server
    server.stop()


def labelled(server: viser.ViserServer, label: str) -> Any:
    (handle,) = (each for each in server.gui._gui_input_handle_from_id.values() if each._impl.label == label)
    return handle


def send(server: viser.ViserServer, handle: Any, **updates: Any) -> None:
    server._websock_server._handle_incoming_message(0, GuiUpdateMessage(handle._impl.id, updates))  # type: ignore[arg-type]


def test_controls_that_do_not_work_are_gone(server: viser.ViserServer) -> None:
    labels = [each._impl.label for each in server.gui._gui_input_handle_from_id.values()]
    assert "Output Directory" not in labels and "# Points" not in labels, "of the tab Export"
    assert not labelled(server, "Camera type").visible
    crop = labelled(server, "Enable ")._impl.parent_container_id
    messages = server._websock_server._broadcast_buffer.message_from_id.values()
    assert GuiUpdateMessage(crop, {"visible": False}) in messages
    for kept in ("Add Keyframe", "Load Path", "Generate Command", "Render name"):
        assert labels.count(kept) == 1


def test_the_render_name_is_a_plain_name(server: viser.ViserServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "get_clients", lambda: {0: None})
    name = labelled(server, "Render name")
    for sent, kept in (("my clip", "my-clip"), ("/tmp/x", "tmp-x"), ("../../x", "x"), ("![a](/b.png)", "a---b.png-")):
        send(server, name, value=sent)
        assert name.value.lstrip("-") == kept == plain_name(name.value)


def test_a_list_takes_only_its_options(server: viser.ViserServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "get_clients", lambda: {0: None})
    choice = server.gui.add_dropdown("Camera Path", ("a.json", "b.json"))
    send(server, choice, value="../../../etc/x.json")
    assert choice.value == "a.json"
    send(server, choice, value="b.json")
    assert choice.value == "b.json"


def test_a_page_changes_values_alone(server: viser.ViserServer) -> None:
    name = labelled(server, "Render name")
    send(server, name, update_cb=[])
    send(server, name, value="x", label="y")
    assert name._impl.label == "Render name" and name.value != "x"


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "..\\x", "a b", "\0", "x" * 999, "-rf", "ü.é"])
def test_plain_names_stay_in_their_folder(text: str) -> None:
    name = plain_name(text)
    assert Path("folder", f"{name}.json").parent == Path("folder") and len(name) <= 100
    assert plain_name(name) == name and " " not in name and not name.startswith(("-", "."))
