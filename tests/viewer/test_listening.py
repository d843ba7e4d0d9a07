"""Which address the viewer listens on, and what the console says of it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import viser
from websockets.sync.client import connect

from sage_ns.plugin.methods import surfels
from sage_ns.viewer.listening import settle_address
from sage_ns.viewer.origin import guard
from tests.integration.conftest import free_port


@pytest.fixture
def viewer() -> Iterator[Any]:
    """A server that listens on the whole network, as ns-viewer's default wants it."""
    server = viser.ViserServer(host="0.0.0.0", port=free_port(), verbose=False)
    yield SimpleNamespace(viser_server=server, viewer_info=["(listening on 0.0.0.0)"])
    server.stop()


def listens_on(viewer: Any) -> str:
    (listening,) = viewer.viser_server._websock_server._ws_server.sockets
    return listening.getsockname()[0]


def test_the_default_of_nerfstudio_becomes_this_machine(
    viewer: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = viewer.viser_server.get_port()
    monkeypatch.setattr(sys, "argv", ["ns-viewer", "--load-config", "config.yml"])
    with connect(f"ws://127.0.0.1:{port}") as early:
        settle_address(viewer)
        guard(viewer.viser_server)
        early.ping().wait(10)  # a page of this machine stays
    assert listens_on(viewer) == viewer.viser_server.get_host() == "127.0.0.1"
    with connect(f"ws://127.0.0.1:{port}", origin=f"http://127.0.0.1:{port}") as page:  # type: ignore[arg-type]
        assert page.recv()
    with socket.socket() as other:
        other.settimeout(10)
        assert other.connect_ex(("127.0.0.2", port)) != 0, "another address of this machine is closed"
    said = capsys.readouterr().out
    assert "--viewer.websocket-host 0.0.0.0" in said
    assert f"ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}" in said
    assert "0.0.0.0" not in viewer.viewer_info[0]


@pytest.mark.parametrize("typed", [["--viewer.websocket-host", "0.0.0.0"], ["--viewer.websocket-host=0.0.0.0"], []])
def test_the_network_is_opened_to_those_who_type_it(
    viewer: Any, typed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ns-viewer", "--load-config", "config.yml", *typed])
    settle_address(viewer, host_chosen=not typed)
    assert listens_on(viewer) == "0.0.0.0"
    assert "can use it" in capsys.readouterr().out


def test_trainings_listen_on_this_machine() -> None:
    assert surfels.config.viewer.websocket_host == "127.0.0.1"
