"""The panel on a real page server, before a stand-in for nerfstudio's viewer; nobody has a browser open."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import viser
from nerfstudio.viewer_legacy.server.viewer_utils import IOChangeException, SetTrace
from PIL import Image

from sage_ns.avatar.avatar import Avatar
from sage_ns.avatar.look import Look
from sage_ns.errors import SageError
from sage_ns.motion.face.sliders import FaceSlider, face_sliders
from sage_ns.rig import FlameParams
from sage_ns.synthetic.head import builtin_head
from sage_ns.viewer import panel as panel_module
from sage_ns.viewer.access import Access, granting
from sage_ns.viewer.panel import PuppetPanel
from sage_ns.viewer.shown_model import ShownModel, moving_pixels
from sage_ns.viewer.training_progress import trained, training_progress
from sage_ns.viewer.user_events import as_code
from tests.tiny import tiny_params
from tests.tiny_avatar import tiny_avatar


@pytest.fixture(scope="module")
def avatar() -> Any:
    return tiny_avatar(builtin_head(), num_surfels=50)


@pytest.fixture(scope="module")
def sliders(avatar: Any) -> tuple[FaceSlider, ...]:
    return face_sliders(avatar.rig.head_model)


@pytest.fixture
def panel(
    avatar: Any, sliders: tuple[FaceSlider, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PuppetPanel]:
    monkeypatch.setattr(panel_module, "face_sliders", lambda head_model: sliders)
    with shown_panel(avatar, tmp_path) as shown:
        yield shown


@contextmanager
def shown_panel(avatar: Any, tmp_path: Path) -> Iterator[PuppetPanel]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = viser.ViserServer(host="127.0.0.1", port=port, verbose=False)
    choice = server.gui.add_dropdown("Output type", ("rgb", "sdf_normal"))
    depth = server.gui.add_checkbox("Composite depth", True)
    model: Any = SimpleNamespace(avatar=avatar, canonical=object(), device=torch.device("cpu"))
    viewer: Any = SimpleNamespace(
        viser_server=server,
        stats_markdown=server.gui.add_markdown(""),
        pause_train=server.gui.add_button("Pause"),
        pipeline=SimpleNamespace(datamanager=SimpleNamespace(capture_dir=tmp_path / "capture")),
        log_filename=tmp_path / "run" / "viewer.txt",
        trainer=None,
        step=699,
        update_step=lambda step: None,
        render_statemachines={},
        control_panel=SimpleNamespace(
            output_render="rgb", split_output_render="rgb", _output_render=choice, _layer_depth=depth
        ),
    )
    panel = PuppetPanel(model)
    panel._setup(viewer)
    yield panel
    panel.close()
    server.stop()


def use(handle: Any, value: Any = True) -> None:
    """Change an element or press a button like a user."""
    handle._impl.value = value
    for callback in handle._impl.update_cb:
        callback(viser.GuiEvent(client=object(), client_id=0, target=handle))  # pyright: ignore[reportArgumentType]


def motion_of(held: Callable[[], torch.Tensor | None]) -> torch.Tensor:
    motion = held()
    assert motion is not None
    return motion


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_using_a_control_makes_its_source_the_one_that_is_shown(panel: PuppetPanel, avatar: Any) -> None:
    held, recorded = panel.shown._held, avatar.motion.motion.clone()
    assert held() is None and panel._source.value == "capture (time slider)"
    use(panel.manual._sliders["Jaw open"], 20.0)
    assert panel._source.value == "manual"
    assert motion_of(held)[FlameParams.JAW][0] == pytest.approx(20 / 57.29578)
    use(panel.sequence._frame, 2)
    assert panel._source.value == "driving sequence"
    assert torch.equal(motion_of(held)[FlameParams.FROM_NECK], recorded[2, FlameParams.FROM_NECK])
    use(panel._source, "capture (time slider)")
    assert held() is None
    assert torch.equal(avatar.motion.motion, recorded), "the avatar's own motion stays"


def test_buttons_move_the_sliders(panel: PuppetPanel) -> None:
    def values() -> dict[str, float]:
        return {name: slider.value for name, slider in panel.manual._sliders.items() if slider.value}

    panel.manual._press("Random")
    assert values() == {name: value for name, value in panel.puppet.values.items() if value} != {}
    panel.manual._press("Reset")
    assert not values() and not panel.puppet.values
    panel.manual._press("Blink")
    assert panel.puppet.is_moving and panel.puppet.source == "manual"
    wait_until(lambda: not panel.puppet.is_moving)


def test_playing_goes_on_by_itself(panel: PuppetPanel) -> None:
    drawn: list[object] = []
    panel.viewer.render_statemachines[0] = SimpleNamespace(client=None, action=drawn.append)  # type: ignore[assignment]
    panel.viewer.get_camera_state = lambda client: None  # type: ignore[assignment,return-value]
    use(panel.sequence._play)
    before = len(drawn)
    wait_until(lambda: panel.sequence._frame.value > 0 and len(drawn) > before)
    assert panel.sequence._pause.visible and not panel.sequence._play.visible
    use(panel.sequence._pause)
    wait_until(lambda: panel.sequence._play.visible)


def test_a_wrong_motion_file_is_named_and_not_played(panel: PuppetPanel, avatar: Any, tmp_path: Path) -> None:
    before = panel.puppet.playback.driver
    capture = tmp_path / "capture"
    capture.mkdir()
    for path in ("", "no/such.npz", str(capture)):
        panel.sequence.load(path)
        assert panel.puppet.playback.driver is before and panel.puppet.source == "capture"
        said = panel.sequence._message.content
        assert "Cannot be used" in said and str(before.source) in said and path in said
    good = tiny_params(avatar.rig.head_model, 7, size=0.03)
    good.save_vhap(capture / "good.npz")
    panel.sequence.load(f"  {capture / 'good.npz'} ")
    assert panel.puppet.playback.driver.num_rows == 7 and panel.puppet.source == "sequence"
    assert "good.npz" in panel.sequence._message.content and "Cannot" not in panel.sequence._message.content
    use(panel.sequence._frame, 6)
    held = motion_of(panel.shown._held)
    torch.testing.assert_close(held[FlameParams.FROM_NECK], good.motion_vector()[6, FlameParams.FROM_NECK])


def test_a_page_reads_motion_of_the_capture_and_the_run_alone(panel: PuppetPanel, avatar: Any, tmp_path: Path) -> None:
    before = panel.puppet.playback.driver
    secret = tmp_path / "secret"
    secret.mkdir()
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "unknown").mkdir()
    (tmp_path / "capture" / "unknown" / "family.jpg").write_bytes(b"")
    (tmp_path / "capture" / "link").symlink_to(secret)
    tiny_params(avatar.rig.head_model, 3).save_vhap(secret / "motion.npz")
    outside = (
        secret,
        secret / "motion.npz",
        secret / "none.npz",
        "../secret/motion.npz",
        tmp_path / "capture/link/motion.npz",
        "/",
        "~",
    )
    for path in (*map(str, outside), "~nosuchuser/x", "a\0b", "x" * 5000, "unknown"):
        panel.sequence.load(path)
        said = panel.sequence._message.content
        assert panel.puppet.playback.driver is before and "Cannot be used" in said
        assert "family" not in said, "what a folder contains stays unknown"
        assert "no such file" not in said or path == "~nosuchuser/x", "what the disk contains stays unknown"
    (tmp_path / "run").mkdir()
    (secret / "motion.npz").rename(tmp_path / "run" / "motion.npz")
    panel.sequence.load("motion.npz")
    assert panel.puppet.playback.driver.num_rows == 3, "relative to the run"


def test_the_command_line_names_the_first_motion_and_more_folders(avatar: Any, tmp_path: Path) -> None:
    motion = tmp_path / "named.npz"
    tiny_params(avatar.rig.head_model, 5).save_vhap(motion)
    access = Access(motion, (tmp_path / "more",))
    driver, problem = panel_module._first_driver(avatar, tmp_path / "capture", access)
    assert driver.num_rows == 5 and problem is None
    readable = panel_module._readable(tmp_path / "capture", tmp_path / "run", access)
    for path in ("capture/a", "run/a", "more/a", "named.npz"):
        assert readable.find(str(tmp_path / path)) == tmp_path / path
    for path in ("a", "more2", "named.npz2"):
        with pytest.raises(SageError, match="--allow FOLDER"):
            readable.find(str(tmp_path / path))
    with pytest.raises(SageError, match="broken"):
        panel_module._first_driver(avatar, tmp_path, Access(tmp_path / "broken"))


def test_a_path_shows_no_picture_of_the_disk(panel: PuppetPanel, tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "private.png")
    sent: list[Any] = []
    panel.viser_server._websock_server.queue_message = sent.append  # type: ignore[method-assign]
    panel.sequence.load(f"![x]({tmp_path}/private.png)")
    shown = next(each.updates["markdown"] for each in sent if "markdown" in getattr(each, "updates", {}))
    assert "private.png" in shown and "base64" not in shown and "![" not in shown


def test_switches_change_the_viewer_s_look_alone(panel: PuppetPanel, avatar: Any) -> None:
    trained, tab = avatar.look, panel.look
    use(tab._correction, False)
    use(tab._mouth, False)
    use(tab._wrinkles, 0.7)
    use(tab._size, 0.5)
    look = panel.shown.look
    assert (look.correction, look.mouth, look.wrinkles, look.surfel_size) == (False, False, 0.7, 0.5)
    assert look == replace(trained, correction=False, mouth=False, wrinkles=0.7, surfel_size=0.5)
    assert avatar.look == trained == tiny_avatar(avatar.rig.head_model, num_surfels=50).look, "the avatar keeps its own"
    own = avatar.background.clone()
    use(tab._background, (255, 0, 51))
    assert panel.shown.background is not None and torch.equal(avatar.background, own), "training's stays"
    torch.testing.assert_close(panel.shown.background, torch.tensor([1.0, 0.0, 0.2]))
    choice: Any = panel.viewer.control_panel._output_render
    use(tab._normals, True)
    assert choice.value == "sdf_normal"
    use(tab._normals, False)
    assert choice.value == "rgb"


def test_the_mesh_is_where_the_avatar_is(panel: PuppetPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    scene: Any = panel.viser_server.scene

    def add(*arguments: Any, **options: Any) -> Any:
        sent.append(arguments)
        return SimpleNamespace(remove=sent.clear)

    monkeypatch.setattr(scene, "add_mesh_simple", add)
    mesh, vertices = panel.shown.rig_mesh, torch.rand(5, 3)
    mesh.follow(vertices)
    mesh.send()
    assert not sent, "nobody wants to see it"
    use(panel.look._mesh, True)
    assert not panel.viewer.control_panel._layer_depth.value
    wait_until(lambda: sent)
    assert torch.equal(torch.from_numpy(sent[0][1]), 10 * vertices), "viser's world is ten times as large"
    mesh.send()
    assert len(sent) == 1, "nothing has moved"
    use(panel.look._mesh, False)
    wait_until(lambda: not sent)
    assert panel.viewer.control_panel._layer_depth.value


def test_an_error_is_shown_until_a_picture_can_be_drawn(panel: PuppetPanel) -> None:
    panel.shown.error = SageError("no {surface}")
    wait_until(lambda: panel._problem.visible)
    assert "SageError: no {surface}" in panel._problem.content
    panel.shown.error = None
    wait_until(lambda: not panel._problem.visible)


# ---- what the viewer draws -------------------------------------------------------------------------------------------


class Drawn:
    """A model that draws one half of the avatar's foreground everywhere, and notes what it was asked for."""

    device, canonical, training = torch.device("cpu"), None, False
    error: BaseException | None = None

    def __init__(self, avatar: Avatar) -> None:
        self.avatar = avatar
        self.asked: list[tuple[torch.Tensor, Look]] = []

    def train(self) -> None: ...

    def eval(self) -> None: ...

    def draw_outputs(self, camera: Any, motion: torch.Tensor, look: Look) -> dict[str, torch.Tensor]:
        if self.error is not None:
            raise self.error
        self.asked.append((motion, look))
        height, width = int(camera.height), int(camera.width)
        color = torch.full((height, width, 3), 0.5) * torch.tensor([0.4, 0.4, 0.4]) + 0.5 * self.avatar.background
        ones = torch.ones(height, width, 1)
        return {"rgb": color, "accumulation": 0.5 * ones, "depth": ones, "distortion": ones}


def some_camera() -> Any:
    return SimpleNamespace(height=2, width=3, metadata={"cam_idx": 0}, times=torch.tensor([[1.0]]))


def shown_model(model: Drawn, motion: torch.Tensor | None = None) -> ShownModel:
    rig_mesh: Any = SimpleNamespace(follow=lambda vertices: None)
    return ShownModel(model, rig_mesh, lambda: motion, lambda: ["rgb"])


def test_the_viewer_draws_the_motion_and_the_look_that_it_holds(avatar: Any) -> None:
    model, held = Drawn(avatar), avatar.neutral().motion_vector()[0]
    shown = shown_model(model, held)
    shown.look = replace(avatar.look, wrinkles=0.9)
    shown.get_outputs_for_camera(some_camera())
    motion, look = model.asked[-1]
    assert torch.equal(motion, held) and look.wrinkles == 0.9 != avatar.look.wrinkles


def test_a_panel_that_holds_no_motion_leaves_it_to_the_camera(avatar: Any) -> None:
    model = Drawn(avatar)
    shown_model(model).get_outputs_for_camera(some_camera())
    motion, look = model.asked[-1]
    assert torch.equal(motion, avatar.motion.motion[-1]) and look == avatar.look


def test_another_background_changes_the_picture_alone(avatar: Any) -> None:
    model = Drawn(avatar)
    shown = shown_model(model)
    camera = some_camera()
    trained = shown.get_outputs_for_camera(camera)["rgb"]
    torch.testing.assert_close(trained[0, 0], 0.2 + 0.5 * avatar.background)
    shown.background = torch.tensor([0.0, 0.5, 1.0])
    rgb = shown.get_outputs_for_camera(camera)["rgb"]
    torch.testing.assert_close(rgb[0, 0], torch.tensor([0.2, 0.45, 0.7]))


def test_an_error_leaves_an_empty_picture_and_says_so(avatar: Any) -> None:
    model = Drawn(avatar)
    shown = shown_model(model)
    camera = some_camera()
    names = set(shown.get_outputs_for_camera(camera))
    assert shown.error is None
    model.error = SageError("broken")
    outputs = shown.get_outputs_for_camera(camera)
    assert set(outputs) == names and outputs["rgb"].shape == (2, 3, 3) and outputs["depth"].shape == (2, 3, 1)
    assert shown.error is model.error
    model.error = IOChangeException()
    with pytest.raises(IOChangeException):
        shown.get_outputs_for_camera(camera)


def test_a_started_drawing_is_completed_before_the_viewer_interrupts(avatar: Any) -> None:
    """Interrupt like nerfstudio: with a trace function that raises at the next line."""
    interrupt, drawn = False, []

    class Interrupted(Drawn):
        def draw_outputs(self, camera: Any, motion: torch.Tensor, look: Look) -> dict[str, torch.Tensor]:
            nonlocal interrupt
            interrupt = True
            outputs = super().draw_outputs(camera, motion, look)
            drawn.append(outputs)
            return outputs

    def check(frame: Any, event: str, argument: Any) -> Any:
        nonlocal interrupt
        if event == "line" and interrupt:
            interrupt = False
            raise IOChangeException
        return check

    shown = shown_model(Interrupted(avatar))
    with pytest.raises(IOChangeException), SetTrace(check):
        shown.get_outputs_for_camera(some_camera())
    assert len(drawn) == 1, "drawn to its end"
    assert not interrupt and shown.error is None


def test_picture_size_while_the_avatar_moves() -> None:
    large = (400_000, 1.0 / 30 + 0.4)
    assert moving_pixels((1_000, 0.001), (401_000, 0.401)) == pytest.approx(33_333, rel=0.05), "1 us a pixel"
    # Posing takes half a second: a few pixels less would not make it faster.
    assert moving_pixels((1_000, 0.501), (1_001_000, 1.501)) == pytest.approx(250_000)
    assert moving_pixels((1_000, 9.0), large) <= large[0] / 4, "times may be anything"


# ---- progress --------------------------------------------------------------------------------------------------------


def test_progress_names_phase_and_step() -> None:
    both = {"reconstruct": 2000, "self_supervise": 800}
    first = training_progress(812, both, 2800)
    assert first.text == "phase 1 of 2: **reconstruct**, step 812 of 2,000" and first.percent == pytest.approx(40.6)
    second = training_progress(2200, both, 2800)
    assert second.text == "phase 2 of 2: **self-supervise**, step 200 of 800" and second.percent == 25
    assert training_progress(5, {"reconstruct": 10}, 10).text == "phase 1 of 1: **reconstruct**, step 5 of 10"
    assert training_progress(2800, both, 2800) == trained(2800)
    assert trained(2800).text == "trained: 2,800 steps" and trained(2800).percent is None


def test_any_text_is_harmless_on_the_page() -> None:
    assert as_code("{a}\n<b>  `c`") == "`{a} <b> 'c'`"
    assert as_code("![x](/a.png) \x1b[31m") == "`! [x](/a.png) ?[31m`"
    assert len(as_code("x" * 10**6)) < 3000


class Stage:
    """Pictures of nobody."""

    name = "a stage"
    closed = False

    def newest(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True


def test_a_live_actor_has_a_tab_and_stops_with_the_viewer(
    avatar: Any, sliders: tuple[FaceSlider, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = SimpleNamespace(pose=None, status="looking for a face", calibrated=0)
    monkeypatch.setattr(panel_module, "face_sliders", lambda head_model: sliders)
    monkeypatch.setattr("sage_ns.viewer.live_tab._actor", lambda model: actor)
    stage = Stage()
    with granting(Access(drive=stage)), shown_panel(avatar, tmp_path) as panel:
        assert panel.puppet.source == "live" and panel._source.value == panel_module.LIVE
        live = panel._live
        assert live is not None
        wait_until(lambda: live._status.content == "`driven by a stage: 0.0 frames/s, looking for a face`")
        actor.pose = torch.zeros_like(avatar.motion.canonical())
        assert torch.equal(motion_of(panel.shown._held)[FlameParams.JAW], torch.zeros(3))
        use(live._head)
        assert panel.puppet.moves_head
        use(panel._source, "manual")
        assert panel.puppet.source == "manual"
    wait_until(lambda: stage.closed)
