"""nerfstudio's own controls: hide those that do not work for this method, and limit what the others write and read."""

from __future__ import annotations

import viser
from nerfstudio.viewer.viewer import Viewer
from viser._messages import GuiUpdateMessage

from sage_ns.viewer.page_updates import check_updates, plain_name

EXPORT = "Export"
"""Tab that writes commands of ns-export, which knows neither surfels nor this field; `sage-export` replaces it."""
CAMERA_TYPE, CROP = "Camera type", "Enable "
"""Choice of lenses, of which only the first can be rendered; and the switch of the crop box, which crops nothing."""
RENDER_NAME = "Render name"
"""Text field whose text becomes the name of the file that "Generate Command" writes."""


def fit_controls(viewer: Viewer) -> None:
    """Hide what does not work for this method. Let the page choose plain names, and only files that it was offered.

    The tab "Render" stays: its camera paths work with ns-render camera-path and sage-render.
    """
    server = viewer.viser_server
    _remove_tab(server.gui, EXPORT)
    for handle in tuple(server.gui._gui_input_handle_from_id.values()):
        if handle._impl.label == CAMERA_TYPE:
            handle.visible = False
        elif handle._impl.label == CROP:
            _hide_folder(server.gui, handle._impl.parent_container_id)
    check_updates(server.gui, {RENDER_NAME: plain_name})
    server.on_client_connect(lambda client: check_updates(client.gui))


def _remove_tab(gui: viser.GuiApi, label: str) -> None:
    """Remove the tab with all its elements: hidden ones would still react to what a page sends."""
    for container in tuple(gui._container_handle_from_id.values()):
        if isinstance(container, viser.GuiTabHandle):
            tabs = container._parent
            if any(tab is container and name == label for name, tab in zip(tabs._labels, tabs._tabs, strict=True)):
                container.remove()


def _hide_folder(gui: viser.GuiApi, container_id: str) -> None:
    """Hide a folder; viser's page can, but the handle has no property for it."""
    gui._websock_interface.queue_message(GuiUpdateMessage(container_id, {"visible": False}))
