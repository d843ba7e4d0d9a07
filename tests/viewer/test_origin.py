"""Requests as browsers and other programs send them, to a real server of pages."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import viser
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sage_ns.viewer.origin import LOOPBACK, guard, refusal
from tests.integration.conftest import free_port


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = viser.ViserServer(host="127.0.0.1", port=free_port(), verbose=False)
    guard(server)
    yield server.get_port()
    server.stop()


def opens(port: int, origin: str | None, host: str = "127.0.0.1") -> bool:
    """Whether a page of that origin gets a websocket, after it has addressed the server as ``host``."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            connect(f"ws://{host}:{port}", sock=raw, origin=origin) as page,  # type: ignore[arg-type]
        ):
            return len(page.recv()) > 0
    except InvalidStatus as error:
        assert error.response.status_code == 403
        return False


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_viewer_s_own_page_is_served(port: int, name: str) -> None:
    assert opens(port, f"http://{name}:{port}")
    assert opens(port, f"http://{name}:{port}", host=name)
    assert opens(port, None), "a program that is no browser"


def test_pages_of_other_sites_are_refused(port: int) -> None:
    foreign = ("https://evil.example", f"http://evil.example:{port}", "null", "file://", f"http://localhost:{port + 1}")
    tricks = (f"http://localhost.evil.example:{port}", f"http://evil.example@x:{port}", "", "http://[", "http://a:b")
    for origin in (*foreign, *tricks, "http://localhost", f"ftp://localhost:{port}"):
        assert not opens(port, origin), origin


def test_a_site_whose_name_points_here_is_refused(port: int) -> None:
    assert not opens(port, f"http://evil.example:{port}", host="evil.example")


def test_files_beside_the_page_are_refused(port: int) -> None:
    def get(path: str) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            return raw.recv(100)

    assert b" 200 " in get("/") and b" 200 " in get("/?x=../..")
    for path in ("/../../../../../../../../etc/passwd", "//etc/passwd", "/assets/..", "/a//etc/passwd"):
        assert b" 403 " in get(path), path


def test_a_server_of_the_network_has_addresses_and_its_own_name() -> None:
    names = LOOPBACK | {"box"}

    def why(host: str, origin: str | None, any_address: bool = True) -> str | None:
        return refusal("/", {"Host": host} | ({} if origin is None else {"Origin": origin}), names, any_address)

    for host in ("192.168.1.5:7007", "[fe80::1]:7007", "box:7007", "Box:7007"):
        assert why(host, f"http://{host}") is None and why(host, None) is None
        assert why(host, "http://evil.example:7007") is not None
        assert why(host, "http://localhost:7007") is not None, "another server on the machine of the page"
    assert why("192.168.1.5:7007", None, any_address=False) is not None
    assert why("box", "https://box") is None and why("box", "http://box") is None and why("box", "http://box:81")
    assert why("evil.example:7007", "http://evil.example:7007") is not None
    assert refusal("/", {}, names, True) is not None, "no host"
