"""What ``--cluster`` accepts, without a cluster."""

from __future__ import annotations

import io
import os
import socket
import sys

import pytest
from rich.console import Console

from sage_ns.errors import OptionError, SageError
from sage_ns.jobs.cluster import light_ray, open_workplace
from sage_ns.jobs.workplace import ThisMachine

CONSOLE = Console(file=io.StringIO())


def test_none_is_this_machine_and_needs_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with open_workplace("none", None, CONSOLE) as workplace:
        assert isinstance(workplace, ThisMachine)
    with pytest.raises(OptionError, match="expected at least 1"), open_workplace("none", 0, CONSOLE):
        raise AssertionError


def test_without_ray_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    message = r"--cluster needs Ray, which is not installed. Run in the clone of sage_ns: pip install '.\[cluster\]'"
    for cluster in ("auto", "head:6379"):
        with pytest.raises(SageError, match=message), open_workplace(cluster, None, CONSOLE):
            raise AssertionError


@pytest.mark.parametrize("address", ["nowhere", "ray://head:10001", "head:port", "head:70000", ""])
def test_what_is_no_address(address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra 'cluster')")
    with pytest.raises(SageError, match="expected none, auto or HOST:PORT"), open_workplace(address, None, CONSOLE):
        raise AssertionError


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra 'cluster')")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        message = f"--cluster {address}: nobody answers there .*ray start --head"
        with pytest.raises(SageError, match=message), open_workplace(address, None, CONSOLE):
            raise AssertionError


def test_ray_reports_nothing_and_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra 'cluster')")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    before = dict(os.environ)
    with light_ray():
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        folder = os.environ["PYTHONPATH"].split(os.pathsep)[0]
        assert os.listdir(folder) == ["rfc3987_syntax.py"]
    assert dict(os.environ) == before and not os.path.exists(folder)
