"""Open the workplace that ``--cluster`` names."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from sage_ns.errors import OptionError, SageError
from sage_ns.jobs.workplace import ThisMachine, Workplace
from sage_ns.system.console import escape
from sage_ns.system.files import temporary_folder

NONE, AUTO, LOCAL = "none", "auto", "local"
_SLOW = "rfc3987_syntax"
_INSTALL = "pip install '.[cluster]'"
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray would report its use to its makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_agent_register_timeout_ms": "120000",  # busy machines need more than 15 s to start Ray's helpers
}
_SECONDS_TO_CONNECT = 10.0
_TRIES_TO_START = 2
"""Ray gives itself 30 s to start, which a busy machine may need for reading its programs from the disk."""
_STORE_BYTES = 100 * 2**20
"""Memory of a local Ray for objects; tasks hand over files, not objects."""


@contextmanager
def open_workplace(cluster: str, cores: int | None, console: Console) -> Iterator[Workplace]:
    """Yield the workplace that the user has chosen; at the end, disconnect from it, or end it if it was started here.

    Args:
        cluster: "none" = this machine, one task at a time; "auto" = the cluster that RAY_ADDRESS names, else a local
            Ray on this machine; else the address of a cluster, HOST:PORT.
        cores: cores of a task; None = all cores of its machine, shared among its GPUs.
        console: console that shows what was found.

    Raises:
        SageError: Ray is missing, or the cluster cannot be used.
    """
    if cores is not None and cores < 1:
        raise OptionError("expected at least 1", cores_per_job=cores)
    if cluster == NONE:
        yield ThisMachine(cores)
        return
    address = os.environ.get("RAY_ADDRESS") or LOCAL if cluster == AUTO else cluster
    # Before Ray is loaded, which takes seconds.
    parts = _parts_of(address) if address not in (LOCAL, AUTO) else None
    if importlib.util.find_spec("ray") is None:
        raise SageError(f"--cluster needs Ray, which is not installed. Run in the clone of sage_ns: {_INSTALL}")
    if parts is not None:
        _check_listens(address, *parts)
    from sage_ns.jobs.ray_cluster import RayCluster

    with light_ray() as ray:
        try:
            _connect(ray, address)
            workplace = RayCluster(ray, cores)
            console.print(f"Ray: {escape(workplace.describe())}", soft_wrap=True)
            yield workplace
        finally:
            ray.shutdown()


@contextmanager
def light_ray() -> Iterator[Any]:
    """Yield the module ``ray``; processes that it starts here report nothing to its makers, and start fast.

    Ray needs jsonschema, which takes all packages for checking formats that it finds. One of them, rfc3987_syntax,
    compiles a grammar for five seconds in every process; nerfstudio's notebooks install it, and Ray does not need it.
    In these processes its import fails, and jsonschema goes on without it.
    """
    before = {name: os.environ.get(name) for name in (*_SETTINGS, "PYTHONPATH")}
    with temporary_folder("ray") as folder:
        (folder / f"{_SLOW}.py").write_text("raise ImportError\n", encoding="utf-8")
        os.environ.update({name: value for name, value in _SETTINGS.items() if before[name] is None})
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), before["PYTHONPATH"])))
        sys.modules.setdefault(_SLOW, None)  # type: ignore[arg-type]  # its import fails in this process, too
        try:
            yield importlib.import_module("ray")
        finally:
            if sys.modules.get(_SLOW, ...) is None:
                del sys.modules[_SLOW]
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _connect(ray: Any, address: str) -> None:
    """Connect to a cluster, or start a local one.

    Raises:
        SageError: there is no such cluster, or Ray cannot be started.
    """
    options: dict[str, Any] = {"logging_level": "error", "log_to_driver": False, "configure_logging": False}
    if address == LOCAL:
        options |= _of_local_ray()
    for trial in range(1, _TRIES_TO_START + 1):
        try:
            ray.init(address, **options)
            return
        except Exception as error:  # of many types: no such cluster, other versions of Ray or Python, no memory
            ray.shutdown()
            reason = str(error).strip()
            if address != LOCAL:
                raise SageError(
                    f"--cluster {address}: no connection ({reason}). This machine must be one of the cluster's "
                    f"(ray start --address={address}), with the same Python, Ray ({ray.__version__}) and token."
                ) from error
            if trial == _TRIES_TO_START:
                raise SageError(
                    f"Ray cannot be started on this machine ({reason}). Without --cluster, jobs run in sequence."
                ) from error


def _of_local_ray() -> dict[str, Any]:
    """Return the options of a local Ray: the cores and GPUs that this process may use."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "num_cpus": cores,
        "num_gpus": torch.cuda.device_count(),
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
    }


def _parts_of(address: str) -> tuple[str, int]:
    """Return host and port of an address.

    Raises:
        SageError: it is none; says what to give.
    """
    parts = re.fullmatch(r"\[?(?P<host>[^\s/]+?)\]?:(?P<port>\d{1,5})", address)
    if parts is None or int(parts["port"]) > 65535:
        raise SageError(
            f"--cluster {address}: expected none, auto or HOST:PORT, as 'ray start --head' prints it (ray:// addresses "
            "are not supported: run this command on a machine of the cluster)."
        )
    return parts["host"], int(parts["port"])


def _check_listens(address: str, host: str, port: int) -> None:
    """Refuse an address where nobody listens: Ray itself would try for minutes.

    Raises:
        SageError: names the address.
    """
    try:
        socket.create_connection((host, port), _SECONDS_TO_CONNECT).close()
    except OSError as error:
        raise SageError(
            f"--cluster {address}: nobody answers there ({error.strerror or error}). Start it: ray start --head"
        ) from error
