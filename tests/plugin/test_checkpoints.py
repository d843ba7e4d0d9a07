"""Checkpoints: checked before use, refused by name, with the newest good one beside them; no code in them runs."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sage_ns.plugin.checkpoint_checks import check_optimizer
from sage_ns.plugin.checkpoints import CheckpointError, load_checkpoint, newest_checkpoint
from sage_ns.plugin.playback_run import write_playback_run
from sage_ns.plugin.run_config import RunConfigError
from sage_ns.plugin.runs import load_model
from sage_ns.synthetic.head import builtin_head
from tests.tiny_avatar import tiny_avatar

AVATAR = "_model.learner.avatar."


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run whose checkpoint has step 0."""
    folder = tmp_path_factory.mktemp("runs") / "runs" / "tiny" / "surfels" / "view"
    return write_playback_run(tiny_avatar(builtin_head(2), 50), folder).parent


@pytest.fixture
def checkpoint(run: Path, tmp_path: Path) -> Path:
    """The checkpoint of the run in a folder of its own, with a good one beside it."""
    (good,) = (run / "nerfstudio_models").iterdir()
    for step in (3, 5):
        shutil.copy(good, tmp_path / f"step-{step:09d}.ckpt")
    return tmp_path / "step-000000005.ckpt"


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def put(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["pipeline"].__setitem__(AVATAR + name, value)


def test_a_good_checkpoint_is_loaded_and_the_newest_is_found(checkpoint: Path) -> None:
    (checkpoint.parent / ".step-000000009.ckpt.12").touch()
    assert newest_checkpoint(checkpoint.parent) == checkpoint
    assert newest_checkpoint(checkpoint.parent / "nowhere") is None
    loaded = load_checkpoint(checkpoint)
    assert (loaded.header.step, loaded.header.phases) == (0, {"reconstruct": 1})
    assert loaded.content["pipeline"][f"{AVATAR}surfels.means"].shape == (50, 3)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_checkpoint_names_the_newest_good_one(checkpoint: Path, keep: float) -> None:
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(CheckpointError, match=r"step-000000005\.ckpt: not a checkpoint") as raised:
        load_checkpoint(checkpoint)
    assert "newest good checkpoint beside it is step-000000003.ckpt" in str(raised.value)
    assert "--load-step 3" in str(raised.value)


def test_a_changed_byte_is_found(checkpoint: Path) -> None:
    with zipfile.ZipFile(checkpoint) as archive:
        entry = max(archive.infolist(), key=lambda each: each.file_size)
    content = bytearray(checkpoint.read_bytes())
    content[entry.header_offset + 2000] ^= 0x40
    checkpoint.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(checkpoint)


def test_without_a_good_one_beside_it_the_message_says_what_to_do(checkpoint: Path) -> None:
    for path in checkpoint.parent.glob("*.ckpt"):
        path.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="no good checkpoint beside it"):
        load_checkpoint(checkpoint)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "'step': found nothing": lambda content: content.pop("step"),
    "'step': found -1": lambda content: content.update(step=-1),
    "'phases': found .'sleep": lambda content: content.update(phases={"sleep": 1}),
    "'phases': found reconstruct = 1.5": lambda content: content.update(phases={"reconstruct": 1.5}),
    "no state dict 'pipeline'": lambda content: content.update(pipeline=3),
    "'background': found nothing": lambda content: content.update(pipeline={}),
    "'pipeline': found 'x' of type list": lambda content: content["pipeline"].update(x=[1]),
    "more than the file holds": put("surfels.means", torch.zeros(1).expand(10**9, 3)),
    "sparse": put("surfels.means", torch.eye(3).to_sparse()),
    "means': found non-finite": put("surfels.means", torch.full((50, 3), torch.nan)),
    r"'surfels.means': found shape \[49, 3\]": put("surfels.means", torch.zeros(49, 3)),
    "'surfels.means': found type float16": put("surfels.means", torch.zeros(50, 3).half()),
    "'surfels.quaternions': found quaternion 0": put("surfels.quaternions", torch.zeros(50, 4)),
    "'surfels.triangle': found values": put("surfels.triangle", torch.full((50,), 10**6)),
    r"'surfels.sh_rest': found shape \[2, 3, 3\]": put("surfels.sh_rest", torch.zeros(2, 3, 3)),
    "'settled': found 4 rows": put("settled", torch.zeros(4, 3)),
    "'interior': found shape": put("interior", torch.zeros(4, dtype=torch.bool)),
    "'mouth.surfels.triangle': found values": put("mouth.surfels.triangle", torch.full((3500,), -1)),
    "'mouth.shade': found shape": put("mouth.shade", torch.ones(1, 4)),
    "'motion.canonical_row': found values": put("motion.canonical_row", torch.tensor(1000)),
    "rig: 'skinning_weights'": put("rig.skinning_weights", torch.zeros(3, 5)),
}


@pytest.mark.parametrize("message", list(CHANGES))
def test_wrong_arrays_are_refused_by_name(checkpoint: Path, message: str) -> None:
    rewrite(checkpoint, CHANGES[message])
    with pytest.raises(CheckpointError, match=message) as raised:
        load_checkpoint(checkpoint)
    assert str(checkpoint) in str(raised.value) and "--load-step 3" in str(raised.value)


@pytest.mark.parametrize("inside", [False, True])
def test_no_payload_runs(checkpoint: Path, tmp_path: Path, inside: bool) -> None:
    payload = Payload(tmp_path / "trace")
    if inside:
        content = torch.load(checkpoint, weights_only=True)
        content["scalers"] = {"scale": payload}
        torch.save(content, checkpoint)
    else:
        torch.save(payload, checkpoint)
    with pytest.raises(CheckpointError, match=r"more than tensors and numbers: \S*system; it could run code"):
        load_checkpoint(checkpoint)
    assert not (tmp_path / "trace").exists()


def test_compressed_checkpoints_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(checkpoint) as archive, zipfile.ZipFile(tmp_path / "new", "w", zipfile.ZIP_DEFLATED) as new:
        for name in archive.namelist():
            new.writestr(name, archive.read(name))
    (tmp_path / "new").replace(checkpoint)
    with pytest.raises(CheckpointError, match="compressed"):
        load_checkpoint(checkpoint)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "step-000000001.ckpt")
    for path in (tmp_path / "step-000000001.ckpt", tmp_path):
        with pytest.raises(CheckpointError, match=r"no such file|expected a file"):
            load_checkpoint(path)


def test_states_of_optimizers_must_fit() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4, 3))
    optimizer = torch.optim.Adam([parameter])
    parameter.grad = torch.ones(4, 3)
    optimizer.step()
    state = optimizer.state_dict()
    check_optimizer(state, optimizer, "a.ckpt", CheckpointError)
    for change, message in (
        (lambda: state["state"][0].update(exp_avg=torch.zeros(2, 3)), r"a\.ckpt: 'exp_avg': found shape \[2, 3\]"),
        (lambda: state.pop("state"), "found no 'state'"),
    ):
        change()
        with pytest.raises(CheckpointError, match=message):
            check_optimizer(state, optimizer, "a.ckpt", CheckpointError)
    for broken in ({"state": {}, "param_groups": [3]}, {"state": {0: 3}, "param_groups": []}, {"state": 3}, 3):
        with pytest.raises(CheckpointError, match="expected the state of an optimiser"):
            check_optimizer(broken, optimizer, "a.ckpt", CheckpointError)
    group = {**optimizer.state_dict()["param_groups"][0], "lr": "fast"}
    with pytest.raises(CheckpointError, match=r"a\.ckpt: 'lr': found fast, expected a number"):
        check_optimizer({"state": {}, "param_groups": [group]}, optimizer, "a.ckpt", CheckpointError)
    with pytest.raises(CheckpointError, match=r"found parameters \[\]"):
        check_optimizer({"state": {}, "param_groups": [{"params": []}]}, optimizer, "a.ckpt", CheckpointError)


def test_commands_refuse_runs_with_a_broken_checkpoint_or_a_payload(run: Path) -> None:
    good, config = run / "nerfstudio_models" / "step-000000000.ckpt", run / "config.yml"
    broken = good.with_name("step-000000007.ckpt")
    broken.write_bytes(good.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"step-000000007\.ckpt: not .* step-000000000\.ckpt"):
        load_model(config)
    broken.unlink()
    text = config.read_text()
    trace = run / "trace"
    config.write_text(text.replace("timestamp: view", f'timestamp: !!python/object/apply:os.system ["touch {trace}"]'))
    with pytest.raises(RunConfigError, match=r"config\.yml: line \d+: found .*os\.system"):
        load_model(config)
    assert not trace.exists()
    config.write_text(text)
    assert load_model(config).avatar.surfels.num_surfels == 50
