"""Refuse browsers whose page comes from another site: only the viewer's own page may use the viewer."""

from __future__ import annotations

import asyncio
import http
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import viser
from rich.markup import escape

from sage_ns.system.console import console

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine that only programs on it can use."""
_PORTS = {"http": 80, "https": 443}
_MOST_REPORTS = 20
"""Refused addresses that the console names; a page that tries on would fill the console."""

Answer = tuple[http.HTTPStatus, Mapping[str, str], bytes]
"""Status, headers and body of a refusal."""


def is_loopback(host: str) -> bool:
    """Return whether a server at ``host`` can only be reached from this machine."""
    return host in LOOPBACK or host.startswith("127.")


@cache
def own_names(host: str) -> frozenset[str]:
    """Return the host names, besides IP addresses, by which browsers may address a server that listens on ``host``."""
    if is_loopback(host):
        return LOOPBACK
    name = socket.gethostname().lower()
    return LOOPBACK | {host.lower(), name, f"{name}.local", socket.getfqdn().lower()}


def refusal(path: str, headers: Mapping[str, str], names: Iterable[str], any_address: bool) -> str | None:
    """Return why a request must be refused; None if it may be answered.

    A browser writes into ``Origin`` which site the page comes from, and into ``Host`` what its user (or the page) has
    addressed. The site must be the server itself. The host must be a name of this machine as well: the owner of a
    foreign site can make the site's name point to this machine, and the two would agree (DNS rebinding).

    Args:
        path: the path that is requested.
        headers: the headers of the request.
        names: names of this machine, in lower case.
        any_address: whether ``Host`` may be any IP address.
    """
    parts = path.partition("?")[0].split("/")
    if parts[0] or ".." in parts or "" in parts[1:-1]:
        return f"the path {path} leaves the viewer's page"
    host = _parsed(f"http://{headers.get('Host', '')}")
    if host is None:
        return "the request names no host"
    if host[0] not in names and not (any_address and _is_address(host[0])):
        return f"{host[0]} is not a name of this machine; open the page by the machine's address"
    origin = headers.get("Origin")  # none: no browser, or a browser that opens the page itself
    if origin is not None and not _is_own_page(origin, headers["Host"]):
        return f"the page comes from another site, {origin}"
    return None


def guard(server: viser.ViserServer) -> None:
    """Answer only requests that :func:`refusal` accepts, from now on; end connections that it would have refused.

    viser has no option for this. Its websocket server calls ``register`` for every new connection before it reads the
    request, and the connection's ``process_request`` after that; both are replaced on the objects.
    """
    reported: set[str] = set()

    def check(path: str, headers: Mapping[str, str]) -> str | None:
        host = server.get_host()
        return refusal(path, headers, own_names(host) | _shared_name(server), any_address=not is_loopback(host))

    def report(reason: str) -> None:
        if reason not in reported and len(reported) < _MOST_REPORTS:
            reported.add(reason)
            console().print(f"[yellow]The viewer refused a page: {escape(ascii(reason)[1:-1])}.[/yellow]")

    def checked(process: Callable[[str, Any], Awaitable[Any]]) -> Callable[[str, Any], Awaitable[Any]]:
        async def process_request(path: str, headers: Any) -> Any:
            if (reason := check(path, headers)) is None:
                return await process(path, headers)
            report(reason)
            return http.HTTPStatus.FORBIDDEN, {}, f"The viewer refuses this: {reason}.\n".encode()

        return process_request

    own_names(server.get_host())  # asks the network for the machine's full name; later calls remember it
    sockets: Any = server._websock_server._ws_server
    register = sockets.register

    def register_checked(connection: Any) -> None:
        connection.process_request = checked(connection.process_request)
        register(connection)

    async def start() -> None:
        sockets.register = register_checked
        for connection in tuple(sockets.websockets):
            if not hasattr(connection, "request_headers"):
                connection.process_request = checked(connection.process_request)
            elif check(connection.path, connection.request_headers) is not None:
                connection.transport.abort()

    asyncio.run_coroutine_threadsafe(start(), sockets.get_loop()).result()


def _parsed(address: str) -> tuple[str, int] | None:
    """Return host (lower case) and port of ``http://host:port`` or ``https://host:port``; None for others."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.scheme not in _PORTS:
        return None
    return host, _PORTS[parts.scheme] if port is None else port


def _is_own_page(origin: str, host: str) -> bool:
    """Return whether a page from ``origin`` has been served by ``host``: same port, same name."""
    site = _parsed(origin)
    here = _parsed(f"{origin.partition(':')[0]}://{host}")  # the scheme decides which port a missing one is
    if site is None or here is None:
        return False
    same_name = site[0] == here[0] or {site[0], here[0]} <= LOOPBACK
    return same_name and site[1] == here[1]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shared_name(server: viser.ViserServer) -> frozenset[str]:
    """Return the host name of the public address that the user has asked viser for, if any."""
    tunnel = server._share_tunnel
    address = None if tunnel is None else tunnel.get_url()
    shared = None if address is None else _parsed(address)
    return frozenset() if shared is None else frozenset({shared[0]})
