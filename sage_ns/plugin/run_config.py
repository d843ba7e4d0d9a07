"""Read the config.yml of a run without running code from it.

nerfstudio saves and loads configs with yaml's full loader, which calls any function that the file names. This loader
builds only the config classes in :data:`_CLASSES`, names of the types in :data:`_TYPES`, paths, tuples, plain values.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
import yaml
from nerfstudio.configs import base_config
from nerfstudio.data.dataparsers.base_dataparser import DataParserConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.utils.writer import EventName, LocalWriter

from sage_ns.avatar.growth.densification import DensificationSettings
from sage_ns.errors import SageError
from sage_ns.plugin.datamanager import CaptureDatamanager, CaptureDatamanagerConfig
from sage_ns.plugin.dataparser import FlameCapture, FlameCaptureDataParserConfig
from sage_ns.plugin.model import SageModel
from sage_ns.plugin.model_config import SageModelConfig
from sage_ns.plugin.optimizers import Decay, DecayConfig, FusedAdamConfig, RowAdamConfig
from sage_ns.plugin.pipeline import SagePipeline, SagePipelineConfig
from sage_ns.plugin.snapshot import SnapshotDataParser, SnapshotDataParserConfig
from sage_ns.plugin.trainer import SageTrainer, SageTrainerConfig
from sage_ns.training.config import FieldSettings
from sage_ns.training.losses import LossWeights
from sage_ns.training.row_adam import RowAdam
from sage_ns.training.schedule import PhaseSteps

MOST_BYTES = 1 << 20
"""Largest config.yml that is read; ours have ten kilobytes."""
_MOST_NODES = 20_000
"""Largest number of values in a config.yml with its aliases expanded; ours have about 600."""
_PREFIX = "tag:yaml.org,2002:python/"
_TRUST = "Ask its author for an avatar file (sage-export avatar), which needs no config."


def _by_name(*kinds: type) -> dict[str, Any]:
    return {f"{kind.__module__}.{kind.__name__}": kind for kind in kinds}


_CLASSES: dict[str, Any] = _by_name(
    *(SageTrainerConfig, SagePipelineConfig, SageModelConfig, CaptureDatamanagerConfig),
    *(FlameCaptureDataParserConfig, SnapshotDataParserConfig, FusedAdamConfig, RowAdamConfig, DecayConfig),
    *(DensificationSettings, FieldSettings, LossWeights, PhaseSteps),
    *(base_config.LoggingConfig, base_config.LocalWriterConfig, base_config.MachineConfig, base_config.ViewerConfig),
)
"""Config classes that a run of ours may contain, by the names in its tags."""
_TYPES: dict[str, Any] = _by_name(
    *(SageTrainer, SagePipeline, SageModel, CaptureDatamanager, FlameCapture, SnapshotDataParser, Decay),
    *(LocalWriter, torch.optim.Adam, RowAdam),
)
"""Types that the field ``_target`` of these configs may name."""
_PATHS = tuple(f"pathlib.{local}{kind}Path" for local in ("", "_local.") for kind in ("", "Posix", "Windows"))


_HINTS = {"dataparser": DataParserConfig}
"""Types of fields that differ from the declared ones: nerfstudio declares only the parsers that it has itself."""


class RunConfigError(SageError):
    """The config.yml of a run is missing, broken, of another method, or names code that is not ours."""


def load_run_config(path: Path) -> SageTrainerConfig:
    """Load the config.yml of a run of ours, without running code from it.

    Raises:
        RunConfigError: the file is missing, is no config of a run of ours, or has a value of another type than its
            field; names the file and the tag or field.
    """
    if not path.is_file():
        raise RunConfigError(f"{path} does not exist. Give the config.yml of a training run.")
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise _Refused(f"found more than {MOST_BYTES >> 20} MB, expected a config of ten kilobytes")
        config = _load(text)
    except _Refused as refused:
        raise RunConfigError(f"{path}: {refused}. {_TRUST}") from None
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RunConfigError(f"{path}: not a readable config of a run ({type(error).__name__}: {reason})") from error
    return config


class _Refused(Exception):
    """The file holds something other than a config of a run of ours."""


class _Loader(yaml.SafeLoader):
    """yaml's safe loader, and the constructors below."""


def _load(text: bytes) -> SageTrainerConfig:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        _count(root, {})
        _check_root(root)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _check_root(root: yaml.Node | None) -> None:
    ours = f"{SageTrainerConfig.__module__}.{SageTrainerConfig.__name__}"
    tag = "nothing" if root is None else _shown(root)
    if tag == f"!!python/object:{ours}":
        _check_whole(root)
        return
    if tag.startswith("!!python/object:sage_ns."):
        raise _Refused(f"found {tag}, expected {ours}: the run is from another version of this program")
    named = [] if not isinstance(root, yaml.MappingNode) else root.value
    method = next((value.value for key, value in named if key.value == "method_name"), None)
    if isinstance(method, str):
        raise _Refused(f"a run of '{method}' ({tag}), which makes no avatar here. Give a run of a sage method")
    raise _Refused(f"found {tag}, expected the config of a run of a sage method (!!python/object:{ours})")


def _check_whole(root: yaml.Node | None) -> None:
    """Refuse a file that is cut off: what is left may be sound, and its missing fields would take their defaults."""
    found = {key.value for key, _ in root.value} if isinstance(root, yaml.MappingNode) else set()
    missing = [each.name for each in fields(TrainerConfig) if each.name not in found]
    if missing:
        raise _Refused(f"'{missing[0]}' is missing: the file is cut off, or an older nerfstudio wrote it")


def _count(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Return the number of values below a node with all aliases expanded; refuse too many, and circles."""
    if node is None:
        return 0
    if id(node) in known:
        if known[id(node)] < 0:
            raise _Refused(f"line {node.start_mark.line + 1}: a value that contains itself")
        return known[id(node)]
    known[id(node)] = -1
    total = 1
    if isinstance(node, yaml.SequenceNode):
        total += sum(_count(each, known) for each in node.value)
    elif isinstance(node, yaml.MappingNode):
        total += sum(_count(each, known) for pair in node.value for each in pair)
    if total > _MOST_NODES:
        raise _Refused(f"line {node.start_mark.line + 1}: more than {_MOST_NODES:,} values")
    known[id(node)] = total
    return total


def _shown(node: yaml.Node) -> str:
    return node.tag.replace("tag:yaml.org,2002:", "!!")[:200]


def _refuse(node: yaml.Node) -> _Refused:
    return _Refused(
        f"line {node.start_mark.line + 1}: found {_shown(node)}, which is not part of a run's config and could run code"
    )


def _construct_config(loader: _Loader, name: str, node: yaml.Node) -> Any:
    if name not in _CLASSES or not isinstance(node, yaml.MappingNode):
        raise _refuse(node)
    kind = _CLASSES[name]
    values: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    hints = {**get_type_hints(kind), **_HINTS}
    known = {each.name: each for each in fields(kind)}
    for key, value in values.items():
        line = f"line {node.start_mark.line + 1}: {kind.__name__}"
        if key not in known:
            raise _Refused(f"{line} has no field {str(key)[:80]!r}: the run is from another version")
        if not _fits(value, hints[key]) or (key == "_target" and value is not _default(known[key])):
            raise _Refused(f"{line}: '{key}': found {_brief(value)}, expected {_described(hints[key])}")
    return kind(**values)


def _construct_name(loader: _Loader, name: str, node: yaml.Node) -> Any:
    if name not in _TYPES:
        raise _refuse(node)
    return _TYPES[name]


def _construct_call(loader: _Loader, name: str, node: yaml.Node) -> Any:
    """Build a path or a member of an enumeration, the only values that yaml writes as calls in our configs."""
    if name not in (*_PATHS, _EVENTS) or not isinstance(node, yaml.SequenceNode):
        raise _refuse(node)
    parts = loader.construct_sequence(node, deep=True)
    if not all(isinstance(part, str) for part in parts) or (name == _EVENTS and len(parts) != 1):
        raise _Refused(f"line {node.start_mark.line + 1}: {_shown(node)}: found {_brief(parts)}, expected texts")
    return EventName(parts[0]) if name == _EVENTS else Path(*parts)


def _construct_tuple(loader: _Loader, node: yaml.Node) -> tuple:
    if not isinstance(node, yaml.SequenceNode):
        raise _refuse(node)
    return tuple(loader.construct_sequence(node, deep=True))


def _construct_unknown(loader: _Loader, node: yaml.Node) -> Any:
    raise _refuse(node)


_EVENTS = f"{EventName.__module__}.{EventName.__name__}"
_Loader.add_multi_constructor(f"{_PREFIX}object:", _construct_config)
_Loader.add_multi_constructor(f"{_PREFIX}name:", _construct_name)
_Loader.add_multi_constructor(f"{_PREFIX}object/apply:", _construct_call)
_Loader.add_constructor(f"{_PREFIX}tuple", _construct_tuple)
_Loader.add_constructor(None, _construct_unknown)  # type: ignore[arg-type]  # None: all other tags


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value has the type of its field; types that configs do not use count as fitting."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple and arguments:
        each = arguments[:1] * len(value) if arguments[1:] == (...,) and isinstance(value, tuple) else arguments
        return isinstance(value, tuple) and len(value) == len(each) and all(map(_fits, value, each))
    kind = origin or hint
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and not _is_endless(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind) if isinstance(kind, type) else True


def _is_endless(value: float) -> bool:
    return isinstance(value, float) and not isfinite(value)


def _described(hint: Any) -> str:
    if hint in (None, NoneType):
        return "null"
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_described(each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return getattr(hint, "__name__", str(hint))


def _brief(value: Any) -> str:
    return type(value).__name__ if is_dataclass(value) else repr(value)[:80]
