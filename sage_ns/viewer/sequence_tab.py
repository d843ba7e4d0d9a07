"""Tab "Sequence": load a driving sequence, play it, pause it and seek in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import viser

from sage_ns.errors import SageError
from sage_ns.motion.files.registry import readers
from sage_ns.motion.motion import USUAL_FPS, Motion
from sage_ns.tracking.clip_motion import describe_readers, load_motion
from sage_ns.viewer.access import ReadablePaths
from sage_ns.viewer.puppet import Puppet
from sage_ns.viewer.user_events import as_code, from_users


class SequenceTab:
    """Fills the tab that is open (`with tab:`) with the player.

    Args:
        gui: the page.
        tab: the tab itself.
        puppet: the state whose sequence is played.
        readable: where the page may read motion.
        taken_over: called after the user has used the player.
    """

    def __init__(
        self,
        gui: viser.GuiApi,
        tab: viser.GuiTabHandle,
        puppet: Puppet,
        readable: ReadablePaths,
        taken_over: Callable[[], None],
    ) -> None:
        self._gui, self._tab = gui, tab
        self._puppet = puppet
        self._readable = readable
        self._taken_over = taken_over
        self._message = gui.add_markdown("")
        self._play = gui.add_button("Play", icon=viser.Icon.PLAYER_PLAY_FILLED)
        self._pause = gui.add_button("Pause", icon=viser.Icon.PLAYER_PAUSE_FILLED, visible=False)
        self._frame = self._frame_slider()
        self._rate = gui.add_slider("Frames/s", 1.0, 60.0, 1.0, USUAL_FPS, hint="playback speed")
        self._loop = gui.add_checkbox("Loop", True)
        self._head = gui.add_checkbox("Move head", False, hint="also use the driver's head position and rotation")
        self._path = gui.add_text(
            "Motion file",
            "",
            hint="path on the computer that runs the viewer, in the capture, in the run, or in a folder of "
            f"sage-view --allow: {describe_readers()}",
        )
        load = gui.add_button("Load", color="gray", icon=viser.Icon.FOLDER_OPEN)
        self._play.on_click(lambda _: self._start())
        self._pause.on_click(lambda _: self._stop())
        self._rate.on_update(from_users(self._follow))
        self._loop.on_update(from_users(self._follow))
        self._head.on_update(from_users(self._follow))
        load.on_click(lambda _: self.load(self._path.value))
        self._show_current()

    def load(self, path: str) -> None:
        """Load and play the motion at ``path``; if this fails, show the reason and keep the current motion."""
        if not path.strip():
            self.show_problem("The path is empty: type the path of a motion file or folder.")
            return
        try:
            driver = self._read(path.strip())
        except (SageError, OSError) as error:
            self.show_problem(error)
            return
        self._puppet.playback.use(driver)
        self._frame.remove()
        with self._tab:
            self._frame = self._frame_slider(self._frame.order)
        self._show_current()
        self._taken_over()

    def _read(self, typed: str) -> Motion:
        path = self._readable.find(typed)
        # Checked here: the reader's own messages list what a folder contains, and name folders that no user has typed.
        if not path.exists():
            raise SageError(f"{typed}: no such file or folder. Give {describe_readers()}.")
        if not any(reader.recognises(path) for reader in readers()):
            raise SageError(f"{typed}: no reader knows this. Give {describe_readers()}.")
        return load_motion(path, self._puppet.avatar.rig.head_model)

    def _show_current(self, before: str = "") -> None:
        driver = self._puppet.playback.driver
        folder, _, name = str(driver.source).rpartition("/")
        short = f"{Path(folder).name}/{name}" if folder else name
        lines = [f"{before}{as_code(short)}, {driver.num_rows:,} frames", *map(as_code, driver.notes)]
        self._message.content = "\n\n".join(lines)

    def follow_playback(self) -> None:
        """Set slider and buttons to the state of the playback; does nothing if they agree."""
        playback = self._puppet.playback
        if self._frame.value != playback.frame:
            self._frame.value = playback.frame
        self._play.visible, self._pause.visible = not playback.is_playing, playback.is_playing

    def show_problem(self, reason: Exception | str) -> None:
        """Show why a motion cannot be played, and which motion is kept."""
        self._show_current(f"⚠️ **Cannot be used**  \n{as_code(str(reason))}\n\nThe current motion stays: ")

    def _frame_slider(self, order: float | None = None) -> viser.GuiInputHandle[int]:
        """Add a slider for the frames of the current sequence; viser's sliders cannot change their length."""
        last = self._puppet.playback.driver.num_rows - 1
        slider = self._gui.add_slider("Frame", 0, max(last, 1), 1, 0, disabled=last == 0, order=order)
        slider.on_update(from_users(self._seek))
        return slider

    def _start(self) -> None:
        self._puppet.playback.play()
        self._taken_over()

    def _stop(self) -> None:
        self._puppet.playback.is_playing = False

    def _seek(self) -> None:
        self._puppet.playback.is_playing = False
        self._puppet.playback.position = float(self._frame.value)
        self._taken_over()

    def _follow(self) -> None:
        self._puppet.playback.frames_per_second = self._rate.value
        self._puppet.playback.loops = self._loop.value
        self._puppet.moves_head = self._head.value
        self._taken_over()
