"""A run's config.yml: read back exactly, and nothing in it runs or builds anything but configs of this program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sage_ns.plugin.methods import METHODS, configured
from sage_ns.plugin.run_config import RunConfigError, load_run_config
from sage_ns.plugin.snapshot import SnapshotDataParserConfig


@pytest.fixture(scope="module")
def text() -> str:
    config = configured("sage-multiview", "capture", overrides={"vis": "tensorboard"})
    config.set_timestamp()
    return yaml.dump(config)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("from_snapshot", [False, True])
def test_configs_of_all_methods_come_back(method: str, from_snapshot: bool, tmp_path: Path) -> None:
    config = configured(method, "capture", head_model="head.npz")
    config.set_timestamp()
    if from_snapshot:
        datamanager: Any = config.pipeline.datamanager
        datamanager.dataparser = SnapshotDataParserConfig(data=tmp_path / "capture.npz")
    (tmp_path / "config.yml").write_text(yaml.dump(config))
    again = load_run_config(tmp_path / "config.yml")
    assert again == config and type(again) is type(config)
    assert again.get_base_dir() == config.get_base_dir()


def test_a_run_keeps_its_selection_of_moments_and_cameras(tmp_path: Path) -> None:
    chosen = {"frames": "multi", "timesteps": (0, 3), "cameras": (8,), "num_cameras": None}
    overrides = {f"pipeline.datamanager.dataparser.{name}": value for name, value in chosen.items()}
    config = configured("surfels", "capture", overrides=overrides)
    config.set_timestamp()
    (tmp_path / "config.yml").write_text(yaml.dump(config))
    datamanager: Any = load_run_config(tmp_path / "config.yml").pipeline.datamanager
    assert {name: getattr(datamanager.dataparser, name) for name in chosen} == chosen
    (tmp_path / "config.yml").write_text(yaml.dump(config).replace("num_timesteps: null", "num_timesteps: many"))
    with pytest.raises(RunConfigError, match="'num_timesteps': found 'many', expected int or null"):
        load_run_config(tmp_path / "config.yml")


NAME = "!!python/name:sage_ns.plugin.trainer"
ROOT = "!!python/object:sage_ns.plugin.trainer.SageTrainerConfig"
PAYLOADS = (
    '!!python/object/apply:os.system ["touch {}"]',
    '!!python/object/apply:builtins.open ["{}", "w"]',
    '!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.PosixPath ["{}"]]',
    '!!python/object/new:os.system ["touch {}"]',
    '!!python/object/apply:subprocess.check_output [["touch", "{}"]]',
    "!!python/object:os._wrap_close {{stream: {}}}",
    "!!python/name:os.system ''",
    "!!python/module:os ''",
    "!!python/object:sage_ns.plugin.trainer.SageTrainer {{config: {}}}",
    "!!python/bytes aGVsbG8=",
    "!anything {}",
)


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("field", ["", "project_name: ", "  _target: ", "    sh_degree: ", "extra: "])
def test_no_payload_runs(text: str, field: str, payload: str, tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "config.yml"
    payload = payload.format(trace)
    if not field:
        path.write_text(payload)
    elif field == "extra: ":
        path.write_text(text + field + payload + "\n")
    else:
        lines = text.splitlines()
        chosen = max(i for i, line in enumerate(lines) if line.startswith(field))
        lines[chosen] = field + payload
        path.write_text("\n".join(lines))
    with pytest.raises(RunConfigError, match=r"config\.yml") as raised:
        load_run_config(path)
    assert not trace.exists()
    assert payload.split()[0].split(":")[-1].split("{")[0] in str(raised.value)


@pytest.mark.parametrize(
    ("found", "instead", "message"),
    [
        ("num_rays: 192", "num_rays: many", "'num_rays': found 'many', expected int or null"),
        ("num_rays: 192", "num_rays: 1.5", "'num_rays': found 1.5"),
        ("wrinkles: 0.1", "wrinkles: .inf", "'wrinkles': found inf, expected float"),
        ("wrinkles: 0.1", "wrinkles: .nan", "'wrinkles': found nan, expected float"),
        ("sh_degree: 1", "sh_degrees: 1", "SageModelConfig has no field 'sh_degrees'"),
        ("sh_degree: 1", "sh_degree: [", "not a readable config"),
        ("preset: small", "preset: enormous", "'preset': found 'enormous'"),
        ("vis: tensorboard", "vis: &v [*v]", "a value that contains itself"),
        ("torch.optim.adam.Adam", "torch.optim.sgd.SGD", "torch.optim.sgd.SGD"),
        (f"_target: {NAME}.SageTrainer", "_target: !!python/name:sage_ns.plugin.model.SageModel", "'_target'"),
        (ROOT, "!!python/object:sage_ns.trainer.SageTrainerConfig", "another version of this program"),
        (
            ROOT,
            "!!python/object:nerfstudio.engine.trainer.TrainerConfig",
            "'sage-multiview' .* makes no avatar",
        ),
    ],
)
def test_what_does_not_fit_is_named(text: str, found: str, instead: str, message: str, tmp_path: Path) -> None:
    assert found in text
    (tmp_path / "config.yml").write_text(text.replace(found, instead, 1))
    with pytest.raises(RunConfigError, match=message) as raised:
        load_run_config(tmp_path / "config.yml")
    assert str(tmp_path / "config.yml") in str(raised.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_is_cut_between_two_fields_is_refused(text: str, share: float, tmp_path: Path) -> None:
    starts = [match.start() for match in re.finditer(r"^[a-z]", text, re.MULTILINE)]
    (tmp_path / "config.yml").write_text(text[: starts[int(share * len(starts))]])
    with pytest.raises(RunConfigError, match=r"config\.yml: '\w+' is missing: the file is cut off"):
        load_run_config(tmp_path / "config.yml")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"method_name: sage-multiview",
        b"\xff\xfe\x00\xd8",
        b"\x00" * 100,
        b"[" * 50_000,
        b"{a: " * 20_000,
        b"# long\n" * 200_000,
        b"a: &a [1, 1]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 121)),
        b"- 1\n--- \n- 2\n",
    ],
)
def test_other_files_are_refused_within_seconds(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(content)
    with pytest.raises(RunConfigError, match=r"config\.yml"):
        load_run_config(tmp_path / "config.yml")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunConfigError, match="does not exist"):
        load_run_config(tmp_path / "config.yml")
    with pytest.raises(RunConfigError, match="does not exist"):
        load_run_config(tmp_path)
