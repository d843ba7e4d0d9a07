"""The panel in nerfstudio's viewer: source of motion, controls, look and progress of the training."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import viser
from nerfstudio.models.base_model import Model
from nerfstudio.utils.rich_utils import CONSOLE
from nerfstudio.viewer.render_state_machine import RenderAction
from nerfstudio.viewer.viewer import Viewer
from nerfstudio.viewer.viewer_elements import ViewerControl

from sage_ns.avatar.avatar import Avatar
from sage_ns.errors import SageError
from sage_ns.motion.face.sliders import face_sliders
from sage_ns.motion.motion import Motion
from sage_ns.system.console import escape
from sage_ns.tracking.clip_motion import load_motion
from sage_ns.viewer.access import Access, ReadablePaths, granted
from sage_ns.viewer.listening import settle_address
from sage_ns.viewer.live_tab import LiveTab
from sage_ns.viewer.look_tab import LookTab
from sage_ns.viewer.manual_tab import ManualTab
from sage_ns.viewer.nerfstudio_controls import fit_controls
from sage_ns.viewer.origin import guard
from sage_ns.viewer.playback import DRIVER, Playback
from sage_ns.viewer.puppet import Puppet, Source
from sage_ns.viewer.rig_mesh import RigMesh
from sage_ns.viewer.sequence_tab import SequenceTab
from sage_ns.viewer.shown_model import ShownModel
from sage_ns.viewer.training_progress import ProgressBar, trained, training_progress
from sage_ns.viewer.user_events import as_code, from_users
from sage_ns.viewer.viewed_model import ViewedModel

SOURCES: dict[str, Source] = {
    "capture (time slider)": "capture",
    "driving sequence": "sequence",
    "manual": "manual",
}
LIVE = "live actor"
"""Name of the source that `sage-view --drive` adds."""
"""Sources of motion by their names on the page."""
_MOVING, _RESTING = 0.04, 0.25
"""Seconds between two updates, while the avatar moves and while it rests."""


class PuppetPanel(ViewerControl):
    """Poses the avatar in the browser. The viewer finds this object among the pipeline's attributes.

    The panel reads and computes nothing before a viewer starts.

    Args:
        model: the model whose avatar is posed.
    """

    def __init__(self, model: ViewedModel) -> None:
        self.model = model
        self._closing = threading.Event()

    def _setup(self, viewer: Viewer) -> None:
        super()._setup(viewer)
        access = granted()
        settle_address(viewer, access.host_chosen)
        guard(self.viser_server)
        fit_controls(viewer)
        gui, avatar = self.viser_server.gui, self.model.avatar
        capture_dir: Path = viewer.pipeline.datamanager.capture_dir  # type: ignore[union-attr,assignment]
        driver, problem = _first_driver(avatar, capture_dir, access)
        readable = _readable(capture_dir, viewer.log_filename.parent, access)
        self.puppet = Puppet(avatar, face_sliders(avatar.rig.head_model), Playback(driver))
        self.shown = ShownModel(
            self.model,
            RigMesh(self.viser_server.scene, avatar.rig.head_model.triangles),
            self.puppet.motion,
            lambda: [viewer.control_panel.output_render, viewer.control_panel.split_output_render],
        )
        # The viewer draws the model that this returns; training and evaluation use the model itself.
        viewer.get_model = lambda: cast(Model, self.shown)
        # Above nerfstudio's own tabs, which follow its message about resolution.
        above = viewer.stats_markdown.order
        # ns-viewer has no training to pause.
        viewer.pause_train.visible = viewer.pause_train.visible and viewer.trainer is not None
        self._progress = ProgressBar(gui, above + 0.1)
        self._num_steps = viewer.trainer.config.max_num_iterations if viewer.trainer is not None else 0
        self._problem = gui.add_markdown("", visible=False, order=above + 0.2)
        self._sources: dict[str, Source] = {**SOURCES, LIVE: "live"} if access.drive is not None else SOURCES
        self._source = gui.add_dropdown("Motion", tuple(self._sources), order=above + 0.3)
        self._source.on_update(from_users(self._choose))
        tabs = gui.add_tab_group(order=above + 0.4)
        manual = tabs.add_tab("Manual", viser.Icon.ADJUSTMENTS_HORIZONTAL)
        with manual:
            self.manual = ManualTab(gui, self.puppet, lambda: self._take_over("manual"))
        player = tabs.add_tab("Sequence", viser.Icon.MOVIE)
        with player:
            self.sequence = SequenceTab(gui, player, self.puppet, readable, lambda: self._take_over("sequence"))
        if problem is not None:
            self.sequence.show_problem(problem)
        with tabs.add_tab("Look", viser.Icon.EYE):
            self.look = LookTab(viewer, self.shown, self.rerender)
        self._live = None if access.drive is None else LiveTab(gui, tabs, self.puppet, access.drive)
        if self._live is not None:
            self._take_over("live")
        self._show_progress()
        threading.Thread(target=self._update_until_closed, name="puppet panel", daemon=True).start()

    def close(self) -> None:
        """Stop the panel's threads; the viewer is shutting down."""
        self._closing.set()
        if self._live is not None:
            self._live.close()

    def rerender(self) -> None:
        """Draw the picture of every browser again: small now, in full size once nothing moves."""
        for machine in list(self.viewer.render_statemachines.values()):
            # nerfstudio's thread may take its pending action while this code compares with it; then it draws anyway.
            with suppress(AttributeError):
                machine.action(RenderAction("move", self.viewer.get_camera_state(machine.client)))

    def _choose(self) -> None:
        self.puppet.source = self._sources[self._source.value]
        self.rerender()

    def _take_over(self, source: Source) -> None:
        """Switch to the source whose controls the user has used."""
        self.puppet.source = source
        name = next(name for name, each in self._sources.items() if each == source)
        if self._source.value != name:
            self._source.value = name
        self.rerender()

    def _update_until_closed(self) -> None:
        """Update the panel until it is closed: play sequences, blink, show progress and problems."""
        last, was_moving = time.monotonic(), False
        while not self._closing.wait(_MOVING if was_moving or self.shown.rig_mesh.is_shown else _RESTING):
            now = time.monotonic()
            if self.puppet.advance(now - last if was_moving else 0.0):
                self.rerender()
            self.sequence.follow_playback()
            if self._live is not None:
                self._live.show_status()
            self.shown.rig_mesh.send()
            self._show_problem(self.shown.error)
            self._show_progress()
            last, was_moving = now, self.puppet.is_moving

    def _show_progress(self) -> None:
        # The viewer stores the index of the last step, one less than the number of steps.
        num_done = self.viewer.step + 1
        if self.viewer.trainer is not None:
            schedule: Any = self.viewer.pipeline.schedule  # type: ignore[union-attr]
            self._progress.show(training_progress(num_done, schedule.steps(), self._num_steps))
        elif self._progress.show(trained(num_done)):
            self.viewer.update_step(num_done)  # ns-viewer leaves it at 0

    def _show_problem(self, error: Exception | None) -> None:
        self._problem.visible = error is not None
        if error is None:
            return
        text = f"{type(error).__name__}: {error}"
        if self._problem.content != (content := f"⚠️ **Not drawn**  \n{as_code(text)}"):
            self._problem.content = content
            CONSOLE.print(f"[red]The viewer could not draw: {escape(text)}[/red]")


def _readable(capture_dir: Path, run_dir: Path, access: Access) -> ReadablePaths:
    """Return where the page may read motion: in the capture, in the run, and what the command line names."""
    named = [] if access.motion is None else [access.motion]
    return ReadablePaths([capture_dir, run_dir, *named, *access.folders])


def _first_driver(avatar: Avatar, capture_dir: Path, access: Access) -> tuple[Motion, SageError | None]:
    """Return the motion that the command line names, else that in the capture's folder "driver", else the recorded one.

    Also returns the error of a driver of the capture that cannot be used.

    Raises:
        SageError: the motion that the command line names cannot be used.
    """
    if access.motion is not None:
        return load_motion(access.motion, avatar.rig.head_model), None
    folder = capture_dir / DRIVER
    if not folder.is_dir():
        return avatar.motion.recorded(), None
    try:
        return load_motion(folder, avatar.rig.head_model), None
    except SageError as error:
        return avatar.motion.recorded(), error
