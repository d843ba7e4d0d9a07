"""Where the viewer listens: on this machine alone, unless the user has typed another address."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import viser
from nerfstudio.viewer.viewer import Viewer
from rich.markup import escape

from sage_ns.system.console import console
from sage_ns.viewer.origin import is_loopback

THIS_MACHINE, EVERYWHERE = "127.0.0.1", "0.0.0.0"
"""Addresses to listen on: this machine alone, and every network that the machine is connected to."""


def settle_address(viewer: Viewer, host_chosen: bool = False) -> None:
    """Listen on this machine alone if nobody has chosen 0.0.0.0, and print how to reach the viewer.

    0.0.0.0 is nerfstudio's default: ns-viewer replaces the address that a run's config holds by it.

    Args:
        viewer: nerfstudio's viewer, whose server is running.
        host_chosen: whether the user has chosen the address; True if the command line contains 0.0.0.0.
    """
    server = viewer.viser_server
    port = server.get_port()
    if server.get_host() == EVERYWHERE and not (host_chosen or _typed(EVERYWHERE)):
        _listen_here_only(server)
        viewer.viewer_info = [f"Viewer running locally at: http://localhost:{port}"]
        _warn(
            f"nerfstudio's default address is {EVERYWHERE}, the whole network; the viewer listens on {THIS_MACHINE} "
            f"instead. To open it to the network: --viewer.websocket-host {EVERYWHERE}"
        )
    if is_loopback(server.get_host()):
        line = f"ssh -L {port}:{THIS_MACHINE}:{port} {socket.gethostname()}"
        text = f"From another machine, type there: {line}    and open http://localhost:{port}"
        console().print(escape(text), soft_wrap=True)
    else:
        _warn(f"The viewer listens on {server.get_host()}: everyone who reaches port {port} can use it, unasked.")


def _typed(address: str) -> bool:
    """Return whether the command line contains the address: ``--flag ADDRESS`` or ``--flag=ADDRESS``."""
    return any(argument.rpartition("=")[2] == address for argument in sys.argv[1:])


def _warn(text: str) -> None:
    console().print(f"[yellow]{escape(text)}[/yellow]", soft_wrap=True)


def _listen_here_only(server: viser.ViserServer) -> None:
    """Replace the socket that the server listens on, and end connections from other machines."""
    sockets: Any = server._websock_server._ws_server
    loop = sockets.get_loop()

    async def replace() -> None:
        old = sockets.server
        old.close()
        # websockets keeps no reference to what makes its connections; asyncio's server does.
        sockets.server = await loop.create_server(old._protocol_factory, THIS_MACHINE, server.get_port())
        for connection in tuple(sockets.websockets):
            peer = connection.transport.get_extra_info("peername")
            if peer is None or not is_loopback(peer[0]):
                connection.transport.abort()

    asyncio.run_coroutine_threadsafe(replace(), loop).result()
    server._websock_server._host = THIS_MACHINE
