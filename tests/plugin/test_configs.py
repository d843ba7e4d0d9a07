from __future__ import annotations

import ast
import dataclasses
import re
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import sage_ns
from sage_ns.errors import CaptureError
from sage_ns.plugin.methods import METHODS
from sage_ns.plugin.trainer import SageTrainerConfig

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yml"))


def load_through_ns_train(path: Path, monkeypatch: pytest.MonkeyPatch) -> SageTrainerConfig:
    """Return the config that ``ns-train METHOD --load-config PATH`` would train."""
    from nerfstudio.scripts import train

    launched: list[SageTrainerConfig] = []
    monkeypatch.setattr(train, "launch", lambda config, **kwargs: launched.append(config))
    method = re.search(r"method: (\S+)", path.read_text())
    assert method is not None
    with mock.patch.object(sys, "argv", ["ns-train", method[1], "--load-config", str(path)]):
        train.entrypoint()
    return launched[0]


def test_there_are_configs() -> None:
    assert {"paper", "small", "surfels", "multiframe"} <= {path.stem for path in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_is_loaded_by_ns_train(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    config: Any = load_through_ns_train(path, monkeypatch)
    assert config.method_name in METHODS
    assert config.max_num_iterations > 0 and config.pipeline.model.num_surfels > 0
    assert config.data == tmp_path / "capture"
    # A finished run can be told apart from the config's plain method.
    plain: Any = METHODS[config.method_name]
    overrides = re.findall(r"pipeline\.(\S+): (\S+)", path.read_text())
    for name, value in overrides:
        holder, default = config.pipeline, plain.pipeline
        for part in name.split("."):
            holder, default = getattr(holder, part), getattr(default, part)
        assert str(holder) == value != str(default)
    # The first lines say how to run it.
    assert f"ns-train {config.method_name} --load-config configs/{path.name}" in path.read_text()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_with_the_capture_not_yet_named_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_through_ns_train(path, monkeypatch)
    with pytest.raises(CaptureError, match=r"capture is not a folder"):
        config.setup(local_rank=0, world_size=1).setup()
    assert not list(tmp_path.iterdir())


def _own_fields(kind: type) -> set[str]:
    return {name for name in vars(kind).get("__annotations__", {}) if not name.startswith("_")}


def _config_classes() -> dict[str, type]:
    """All configuration classes of this package that are reachable from the methods."""
    found: dict[str, type] = {}

    def visit(value: object) -> None:
        if isinstance(value, dict):
            for each in value.values():
                visit(each)
        if not dataclasses.is_dataclass(value) or isinstance(value, type):
            return
        for kind in type(value).__mro__:
            if kind.__module__.startswith("sage_ns."):
                found[kind.__name__] = kind
        for field in dataclasses.fields(value):
            visit(getattr(value, field.name))

    for config in METHODS.values():
        visit(config)
    return found


def test_every_setting_is_read_somewhere() -> None:
    """A setting that no code reads has no effect."""
    # Settings that nerfstudio's own classes read after we redefine them.
    by_nerfstudio = {"enable_collider", "data", "lr_final", "eps", "fused"}
    # Weights are read by the name of the loss, lengths by the name of the phase.
    by_name = {"LossWeights", "PhaseSteps"}
    read: set[str] = set()
    names: set[str] = set()
    for file in Path(sage_ns.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
    classes = _config_classes()
    assert {"SageTrainerConfig", "SageModelConfig", "LossWeights", "FlameCaptureDataParserConfig"} <= set(classes)
    for name, kind in classes.items():
        unread = _own_fields(kind) - by_nerfstudio - (names if name in by_name else read)
        assert not unread, f"{name} has settings that nothing reads: {sorted(unread)}"


def test_every_setting_is_documented() -> None:
    for kind in _config_classes().values():
        tree = ast.parse(Path(sys.modules[kind.__module__].__file__ or "").read_text())
        (body,) = (
            node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == kind.__name__
        )
        for field, following in zip(body, [*body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.target.id[0] != "_":
                documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                assert documented, f"{kind.__name__}.{field.target.id}"
