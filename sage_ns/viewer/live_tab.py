"""Tab "Live": an actor before a camera drives the avatar."""

from __future__ import annotations

import viser

from sage_ns.rig import HeadModel
from sage_ns.tracking.live_actor import LiveActor, LiveDriver
from sage_ns.video.live_pictures import LivePictures
from sage_ns.viewer.puppet import Puppet
from sage_ns.viewer.user_events import as_code, from_users


class LiveTab:
    """Adds the tab, and begins to watch the actor.

    Args:
        gui: the page.
        tabs: where the tab goes.
        puppet: its pose is the actor's while its source is "live".
        pictures: camera or film.
    """

    def __init__(
        self, gui: viser.GuiApi, tabs: viser.GuiTabGroupHandle, puppet: Puppet, pictures: LivePictures
    ) -> None:
        self._puppet = puppet
        model = puppet.avatar.rig.head_model.to("cpu")
        self._driver = LiveDriver(pictures, lambda: _actor(model))
        with tabs.add_tab("Live", viser.Icon.CAMERA):
            self._status = gui.add_markdown("")
            again = gui.add_button(
                "Calibrate again", icon=viser.Icon.REFRESH, hint="the next second counts as the actor's neutral face"
            )
            self._head = gui.add_checkbox("Move along", False, hint="also move the avatar with the actor's head")
        again.on_click(lambda _: self._driver.calibrate())
        self._head.on_update(from_users(self._follow))
        puppet.live = lambda: self._driver.pose
        self.show_status()
        self._driver.start()

    def show_status(self) -> None:
        """Update the line about the actor."""
        if self._status.content != (line := as_code(self._driver.status)):
            self._status.content = line

    def close(self) -> None:
        """Stop watching."""
        self._driver.close()

    def _follow(self) -> None:
        self._puppet.moves_head = self._head.value


def _actor(model: HeadModel) -> LiveActor:
    from functools import cache

    from sage_ns.tracking.detectors import open_detector
    from sage_ns.tracking.rig_embedding import embedding_of_actor

    detector = cache(open_detector)
    return LiveActor(detector(), *embedding_of_actor(model, detector))
