"""Tasks on a local Ray cluster of two nodes, of which workers and a node are killed."""

from __future__ import annotations

import io
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from sage_ns import __version__
from sage_ns.errors import SageError
from sage_ns.jobs import ray_cluster
from sage_ns.jobs.cluster import light_ray
from sage_ns.jobs.display import Display
from sage_ns.jobs.queue import run_all
from sage_ns.jobs.ray_cluster import Machine, RayCluster, machines_of
from sage_ns.jobs.task import Task
from tests.jobs.fake import fake_task, starts_of, state_of

_NODE = {"object_store_memory": 80 * 2**20, "no_monitor": True, "include_log_monitor": False, "num_gpus": 0}

_TRIES_TO_START = 3
"""A node gives itself 30 s to start, which are too few on a busy machine."""


def node(number: int, cpus: float = 4, gpus: float = 0, alive: bool = True, host: str = "") -> dict[str, Any]:
    resources = {"CPU": cpus, "GPU": gpus, "memory": 1e9}
    name = host or f"host{number}"
    return {
        "NodeID": f"node{number}" * 3,
        "Alive": alive,
        "NodeManagerHostname": name,
        "NodeManagerAddress": "10.0.0.1",
        "Resources": {key: value for key, value in resources.items() if value},
    }


@pytest.mark.parametrize(
    ("device", "cores", "expected"),
    [
        ("cpu", None, [("host1", 1, 4), ("host2", 1, 64), ("host3", 1, 16)]),
        ("cpu", 8, [("host2", 8, 8), ("host3", 2, 8)]),
        ("cuda", None, [("host3", 4, 4)]),
        ("cuda", 8, [("host3", 2, 8)]),
        ("cuda", 17, []),
    ],
)
def test_places(device: Any, cores: int | None, expected: list[tuple[str, int, int]]) -> None:
    nodes = [node(1), node(2, cpus=64), node(3, cpus=16, gpus=4), node(4, alive=False), node(5, cpus=0)]
    found = [(each.name, each.num_places, each.cores) for each in machines_of(nodes, device, cores)]
    assert found == expected


def test_nodes_of_one_host_have_names_of_their_own() -> None:
    names = [each.name for each in machines_of([node(1, host="a"), node(2, host="a"), node(3)], "cpu", None)]
    assert names == ["a#node1n", "a#node2n", "host3"]


class Watched(Display):
    """A display that also looks at something whenever it may draw."""

    def __init__(self, tasks: list[Task], look: Callable[[], object]) -> None:
        self.text = io.StringIO()
        super().__init__(Console(file=self.text, width=200), "row", ("row", "of"), tasks)
        self._look = look

    def update(self, now: bool = False) -> None:
        super().update(now)
        self._look()


class NoRay:
    """As much of Ray as tells where tasks go: the first one is lost, and its dead machine still counts as alive."""

    class exceptions:
        class RayError(Exception): ...

        class RayTaskError(RayError): ...

        class OutOfMemoryError(RayError): ...

    def nodes(self) -> list[dict[str, Any]]:
        return [node(1), node(2)]

    def wait(self, references: list[str], **_: object) -> tuple[list[str], list[str]]:
        return references[:1], references[1:]

    def get(self, reference: str) -> int:
        if reference == "1 on host1":
            raise self.exceptions.RayError
        return 0


def test_a_lost_task_goes_to_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    class Bound:
        def __init__(self, machine: Machine) -> None:
            self.machine = machine

        def remote(self, *_: object) -> str:
            started.append(f"{len(started) + 1} on {self.machine.name}")
            return started[-1]

    monkeypatch.setattr(RayCluster, "_bound", lambda _self, _work, machine, **_options: Bound(machine))
    tasks = [Task((name, "one"), "none", tmp_path / name, "all") for name in "ab"]
    display = Watched(tasks, lambda: None)
    ended = list(run_all(tasks, RayCluster(cast(Any, NoRay()), None), display))
    assert [each.reason for each in ended] == ["", ""]
    assert started == ["1 on host1", "2 on host2", "3 on host2"]
    assert "a, one: lost on host1 (its worker on host1 is gone (RayError)); it starts again" in display.text.getvalue()


class TwoNodes:
    """Two nodes of one core each, and the workplace that they make."""

    def __init__(self, ray: Any) -> None:
        from ray.cluster_utils import Cluster

        self.ray, self.nodes = ray, Cluster()

    def start(self) -> None:
        self._add(include_dashboard=False)
        self.ray.init(self.nodes.address, logging_level="error", log_to_driver=False, configure_logging=False)
        self.second = self._add()

    def _add(self, **options: Any) -> Any:
        for _ in range(_TRIES_TO_START - 1):
            try:
                return self.nodes.add_node(num_cpus=1, **_NODE, **options)
            except Exception as error:  # Ray has no type for it
                if "timed out during startup" not in str(error):
                    raise
        return self.nodes.add_node(num_cpus=1, **_NODE, **options)

    def close(self) -> None:
        self.ray.shutdown()
        self.nodes.shutdown()


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    pytest.importorskip("ray", reason="Ray is not installed (extra 'cluster')")
    with light_ray() as ray:
        nodes = TwoNodes(ray)
        try:
            nodes.start()
            yield nodes
        finally:
            nodes.close()


def step_of(task: Task) -> int:
    return int(str(state_of(task).get("step", 0)))


@pytest.mark.timeout(600)
def test_the_job_of_a_killed_worker_goes_on_elsewhere(cluster: TwoNodes, tmp_path: Path) -> None:
    workplace = RayCluster(cluster.ray, None)
    assert workplace.describe() == "2 machines, 2 jobs at a time, each with 1 core"
    workplace.check(tmp_path, [tmp_path])
    long = [fake_task(tmp_path, name, steps=30, seconds=0.1) for name in ("killed", "other")]
    shared = [fake_task(tmp_path, name, steps=5, group="shared") for name in ("trains", "draws")]
    tasks = [*long, *shared, fake_task(tmp_path, "broken", fails="the capture is bad")]
    workers: list[int] = []

    def kill() -> None:
        if not workers and step_of(long[0]) >= 5:
            workers.append(int(str(starts_of(long[0])[0]["parent"])))
            os.kill(workers[0], signal.SIGKILL)

    display = Watched(tasks, kill)
    ended = list(run_all(tasks, workplace, display))
    assert workers and "killed, one: lost on" in display.text.getvalue()
    assert {each.task.cells[0]: each.reason for each in ended} == {
        "killed": "",
        "other": "",
        "trains": "",
        "draws": "",
        "broken": "the capture is bad",
    }
    assert all(state_of(task).get("done") for task in tasks[:4])
    assert [len(starts_of(task)) for task in tasks] == [2, 1, 1, 1, 1]
    first, again = starts_of(long[0])
    assert int(str(again["step"])) >= 5 and again["parent"] != first["parent"]  # went on from its checkpoint
    assert not Path(f"/proc/{first['process']}").exists()  # died with its worker
    assert starts_of(shared[1])[0]["at"] >= state_of(shared[0])["ended"]  # type: ignore[operator]
    assert {(start["threads"], start["gpus"]) for task in tasks for start in starts_of(task)} == {("1", "")}


@pytest.mark.timeout(600)
def test_an_interruption_lets_jobs_save_and_the_next_run_goes_on(cluster: TwoNodes, tmp_path: Path) -> None:
    workplace = RayCluster(cluster.ray, None)
    tasks = [fake_task(tmp_path, name, steps=40, seconds=0.1) for name in ("a", "b", "waits")]

    def interrupt() -> None:
        if all(step_of(task) >= 5 for task in tasks[:2]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_all(tasks, workplace, Watched(tasks, interrupt)))
    stopped = [state_of(task) for task in tasks]
    assert [state.get("interrupted") for state in stopped] == [True, True, None]
    assert not any(Path(f"/proc/{starts_of(task)[0]['process']}").exists() for task in tasks[:2])
    ended = list(run_all(tasks[:2], workplace, Watched(tasks[:2], lambda: None)))
    assert all(each.succeeded for each in ended) and len(ended) == 2
    assert [starts_of(task)[1]["step"] for task in tasks[:2]] == [state["step"] for state in stopped[:2]]


def test_a_machine_that_does_not_see_the_files_is_named(cluster: TwoNodes, tmp_path: Path) -> None:
    with pytest.raises(SageError, match=rf"The machine \S+ does not see {tmp_path}/nowhere. Put it on a disk that all"):
        RayCluster(cluster.ray, None).check(tmp_path, [tmp_path / "nowhere"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SageError, match=r"No machine of the cluster has 5 cores for a job. Give fewer --cores-per-job"):
        RayCluster(cluster.ray, 5)


@pytest.mark.timeout(600)
def test_the_job_of_a_lost_node_moves_to_another(cluster: TwoNodes, tmp_path: Path) -> None:
    workplace = RayCluster(cluster.ray, None)
    tasks = [fake_task(tmp_path, name, steps=20, seconds=0.1) for name in ("a", "b")]
    removed: list[object] = []

    def remove() -> None:
        if not removed and all(step_of(task) >= 5 for task in tasks):
            removed.append(cluster.second)
            cluster.nodes.remove_node(cluster.second, allow_graceful=False)

    display = Watched(tasks, remove)
    ended = list(run_all(tasks, workplace, display))
    assert removed and all(each.succeeded for each in ended) and len(ended) == 2
    assert sorted(len(starts_of(task)) for task in tasks) == [1, 2]
    assert display.text.getvalue().count(": lost on") == 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"version": "99"}, r"has sage_ns \S+, this machine 99. Install the same version"),
        ({"secret": "other"}, "does not see .*Give an output folder on a disk that all machines share"),
        ({"token": "/nowhere/file"}, "does not see /nowhere. Give an output folder"),
        ({"inputs": ["/", "/nowhere"]}, "does not see /nowhere. Put it on a disk"),
    ],
)
def test_what_a_machine_sees(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    given = {"version": __version__, "token": str(token), "secret": "secret", "inputs": ["/"], **changes}
    found = ray_cluster._look(**given)
    assert re.match(problem, found) if problem else found == ""
