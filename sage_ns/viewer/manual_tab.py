"""Tab "Manual": sliders for pose and face, with buttons for frequent actions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import viser

from sage_ns.motion.face.sliders import BLINK, FaceSlider
from sage_ns.viewer.puppet import HEAD_GROUP, JAW_GROUP, POSE_SLIDERS, PoseSlider, Puppet
from sage_ns.viewer.user_events import from_users

RESET, RANDOM = "Reset", "Random"


class ManualTab:
    """Fills the tab that is open (`with tab:`) with sliders.

    Args:
        gui: the page.
        puppet: the state that the sliders change.
        taken_over: called after the user has used a slider or a button.
    """

    def __init__(self, gui: viser.GuiApi, puppet: Puppet, taken_over: Callable[[], None]) -> None:
        self._puppet = puppet
        self._taken_over = taken_over
        self._rng = np.random.default_rng()
        self._sliders: dict[str, viser.GuiInputHandle[float]] = {}
        has_lids = any(slider.name == BLINK for slider in puppet.face)
        buttons = gui.add_button_group("Face", [RANDOM] + [BLINK] * has_lids)
        buttons.on_click(lambda event: self._press(event.target.value))
        reset = gui.add_button(RESET, color="gray", icon=viser.Icon.REFRESH)
        reset.on_click(lambda _: self._press(RESET))
        for group in dict.fromkeys((JAW_GROUP, *(slider.group for slider in puppet.face), HEAD_GROUP)):
            with gui.add_folder(group):
                for pose in POSE_SLIDERS:
                    if pose.group == group:
                        self._add(gui, pose, 1.0)
                for face in puppet.face:
                    if face.group == group:
                        self._add(gui, face, 0.01)

    def _add(self, gui: viser.GuiApi, described: PoseSlider | FaceSlider, step: float) -> None:
        slider = gui.add_slider(described.name, described.low, described.high, step, 0.0, hint=described.hint or None)
        slider.on_update(from_users(self._follow))
        self._sliders[described.name] = slider

    def _follow(self) -> None:
        self._puppet.values = {name: slider.value for name, slider in self._sliders.items() if slider.value}
        self._taken_over()

    def _press(self, button: str) -> None:
        if button == BLINK:
            self._puppet.blink()
        elif button == RESET:
            self._puppet.values = {}
        else:
            self._puppet.draw_expression(self._rng)
        for name, slider in self._sliders.items():
            value = self._puppet.values.get(name, 0.0)
            if slider.value != value:
                slider.value = value
        self._taken_over()
