"""Tab "Look": switches of the viewer's look, background, rig mesh and normals. The avatar's own look stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from nerfstudio.viewer.viewer import Viewer

from sage_ns.avatar.look import Light
from sage_ns.viewer.shown_model import ShownModel
from sage_ns.viewer.user_events import from_users

NORMALS = "sdf_normal"
"""Output that shows the field's surface."""
_LIGHTS: Mapping[str, Light] = {"of the room": "room", "with the head": "head"}
"""What the light stays with, by its name on the page."""


class LookTab:
    """Fills the tab that is open (`with tab:`) with switches.

    Args:
        viewer: nerfstudio's viewer.
        shown: draws the avatar for the viewer; its look starts as the avatar's.
        changed: called after the user has changed a switch.
    """

    def __init__(self, viewer: Viewer, shown: ShownModel, changed: Callable[[], None]) -> None:
        gui, model, look = viewer.viser_server.gui, shown.model, shown.look
        self._viewer = viewer
        self._shown = shown
        self._changed = changed
        self._before_normals = "rgb"
        self._correction = gui.add_checkbox(
            "Correction", look.correction, hint="stretches and turns surfels with the skin around them"
        )
        self._mouth = gui.add_checkbox(
            "Mouth", look.mouth, visible=model.avatar.mouth is not None, hint="shows teeth, tongue and palate"
        )
        self._wrinkles = gui.add_slider(
            "Wrinkles", 0.0, 1.0, 0.05, float(look.wrinkles), hint="darkens skin where an expression compresses it"
        )
        self._size = gui.add_slider(
            "Surfel size",
            0.1,
            1.5,
            0.05,
            float(look.surfel_size),
            hint="factor on the size; small surfels can be seen one by one",
        )
        self._light = gui.add_dropdown(
            "Light",
            tuple(_LIGHTS),
            next(name for name, light in _LIGHTS.items() if light == look.light),
            visible=model.avatar.light is not None,
            hint="what the light stays with when the head turns",
        )
        self._guessed = gui.add_checkbox(
            "Mark guesses",
            look.mark_guessed,
            visible=len(model.avatar.evidence) > 0,
            hint="paints places blue that no picture of the training shows: their colours are guesses",
        )
        own = tuple(round(255 * float(part)) for part in model.avatar.background)
        self._background = gui.add_rgb("Background", own)  # pyright: ignore[reportArgumentType]
        self._mesh = gui.add_checkbox(
            "Rig mesh", False, hint="shows the tracked head, half transparent, over the avatar"
        )
        self._normals = gui.add_checkbox(
            "SDF normals",
            False,
            visible=model.canonical is not None,
            hint="shows the field's surface instead of the surfels",
        )
        for element in (self._correction, self._mouth, self._wrinkles, self._size, self._light, self._guessed):
            element.on_update(from_users(self._follow))
        self._background.on_update(from_users(self._paint))
        self._mesh.on_update(from_users(self._show_mesh))
        self._normals.on_update(from_users(self._show_normals))

    def _follow(self) -> None:
        self._shown.look = replace(
            self._shown.look,
            correction=self._correction.value,
            mouth=self._mouth.value,
            wrinkles=self._wrinkles.value,
            surfel_size=self._size.value,
            light=_LIGHTS[self._light.value],
            mark_guessed=self._guessed.value,
        )
        self._changed()

    def _paint(self) -> None:
        self._shown.background = torch.tensor(self._background.value) / 255.0
        self._changed()

    def _show_mesh(self) -> None:
        self._shown.rig_mesh.is_shown = self._mesh.value
        # The mesh lies on the skin: nerfstudio's depth test would hide half of it.
        self._viewer.control_panel._layer_depth.value = not self._mesh.value
        self._changed()

    def _show_normals(self) -> None:
        choice = self._viewer.control_panel._output_render
        if self._normals.value and choice.value != NORMALS and NORMALS in choice.options:
            self._before_normals = choice.value
            choice.value = NORMALS
        elif not self._normals.value and choice.value == NORMALS:
            choice.value = self._before_normals
