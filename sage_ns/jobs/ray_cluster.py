"""The machines of a Ray cluster as a workplace.

Each task is a Ray task that is bound to one machine and waits for the process that does the work. Ray thus knows what
is taken on each machine, and reports workers and machines that die; `sage_ns.jobs.queue` then starts their tasks again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sage_ns import __version__
from sage_ns.errors import SageError
from sage_ns.jobs.process import SECONDS_TO_STOP, environment, failure_of, run_process
from sage_ns.jobs.task import Exit, Task
from sage_ns.jobs.workplace import Device
from sage_ns.system.files import write_text
from sage_ns.system.leftovers import unfinished_name

_SECONDS_TO_LOOK = 120
"""Time that machines have to start a worker and look at the files."""
_SECONDS_PER_REFRESH = 1.0
_SECONDS_AFTER_LOSS = 30.0
"""Time that a machine gets no task after it has lost one: for some seconds Ray takes a dead machine for alive, and the
task would be lost there again."""
_SECONDS_TO_CANCEL = SECONDS_TO_STOP + 15
_SECONDS_WITHOUT_MACHINES = 120.0
"""Time that a cluster has to come back after its last machine is gone."""


@dataclass(frozen=True)
class Machine:
    """A machine of a cluster, and how many tasks it takes."""

    node: str
    """Ray's name of the machine"""
    name: str
    num_places: int
    cores: int
    """cores of each task"""


def machines_of(nodes: Sequence[dict[str, Any]], device: Device, cores: int | None) -> list[Machine]:
    """Divide the living machines of a cluster into places for tasks.

    Args:
        nodes: what ``ray.nodes()`` returns.
        device: "cuda": one place per GPU, on machines that have one; "cpu": one place per ``cores``.
        cores: cores of a task; None = all cores of its machine, shared evenly among its GPUs.
    """
    found = []
    for node in nodes:
        has = node["Resources"]
        num_cores, num_gpus = int(has.get("CPU", 0)), int(has.get("GPU", 0))
        most = num_gpus if device == "cuda" else num_cores
        each = max(1, num_cores // max(1, num_gpus) if device == "cuda" else num_cores) if cores is None else cores
        places = min(most, num_cores // each)
        if node["Alive"] and places > 0:
            name = node.get("NodeManagerHostname") or node["NodeManagerAddress"]
            found.append(Machine(node["NodeID"], name, places, each))
    return _told_apart(found)


def _told_apart(machines: list[Machine]) -> list[Machine]:
    """Number the machines that have the name of another one."""
    names = [machine.name for machine in machines]
    return [
        Machine(each.node, f"{each.name}#{each.node[:6]}", each.num_places, each.cores)
        if names.count(each.name) > 1
        else each
        for each in machines
    ]


class RayCluster:
    """The living machines of a cluster that this process is connected to.

    Args:
        ray: the module ``ray``.
        cores: cores of each task; None = those of the machine, shared among its GPUs.

    Raises:
        SageError: no machine has as many cores.
    """

    def __init__(self, ray: ModuleType, cores: int | None) -> None:
        self._ray: Any = ray
        self._cores = cores
        nodes = ray.nodes()
        # A cluster of both kinds uses its GPUs only: results on different devices are not comparable.
        self.device: Device = "cuda" if any(n["Alive"] and n["Resources"].get("GPU", 0) >= 1 for n in nodes) else "cpu"
        self._machines = machines_of(nodes, self.device, cores)
        self._read = self._had_machines = time.monotonic()
        self._looked: dict[str, str] = {}
        self._lost: dict[str, float] = {}
        self._files: tuple[Path, tuple[Path, ...]] | None = None
        self._running: dict[Any, tuple[Task, Machine]] = {}
        if not self._machines:
            wanted = "a core" if cores is None else f"{cores} cores"
            with_gpu = " beside a GPU" if self.device == "cuda" else ""
            raise SageError(f"No machine of the cluster has {wanted} for a job{with_gpu}. Give fewer --cores-per-job.")

    def describe(self) -> str:
        """Return one line about the machines: "2 machines, 3 jobs at a time, each with 1 GPU and 8 cores"."""
        places = sum(machine.num_places for machine in self._machines)
        cores = sorted({machine.cores for machine in self._machines})
        each = " or ".join(map(str, cores)) + (" core" if cores == [1] else " cores")
        gpu = "1 GPU and " if self.device == "cuda" else ""
        machines = f"{len(self._machines)} machine{'s' if len(self._machines) > 1 else ''}"
        return f"{machines}, {places} job{'s' if places > 1 else ''} at a time, each with {gpu}{each}"

    def check(self, folder: Path, inputs: Sequence[Path]) -> None:
        """Check on every machine that it has this version of sage_ns and sees the folder and the inputs.

        Raises:
            SageError: a machine does not; names it and the path.
        """
        self._files = folder, tuple(inputs)
        self._look(self._machines)
        for problem in self._looked.values():
            if problem:
                raise SageError(problem)

    def start(self, task: Task) -> str | None:
        """Start a task on the machine with the fewest tasks, if a place is free.

        Raises:
            SageError: the cluster has had no machines for two minutes.
        """
        self._refresh()
        taken = [machine.node for _, machine in self._running.values()]
        soon = time.monotonic() - _SECONDS_AFTER_LOSS
        usable = [each for each in self._machines if self._lost.get(each.node, soon) <= soon]
        free = [each for each in usable if taken.count(each.node) < each.num_places]
        if not free:
            return None
        machine = min(free, key=lambda each: taken.count(each.node))
        variables = environment(machine.cores, on_gpu=self.device == "cuda")
        on_gpu = 1 if self.device == "cuda" else 0
        work = self._bound(_work, machine, num_cpus=machine.cores, num_gpus=on_gpu, name=task.title)
        self._running[work.remote(task.module, str(task.folder), variables)] = task, machine
        return machine.name

    def ended(self, seconds: float) -> list[Exit]:
        """Return the tasks that have ended, or whose worker or machine is lost."""
        if not self._running:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds, fetch_local=False)
        return [self._exit(each) for each in done]

    def stop(self) -> None:
        """Interrupt all tasks and wait until they have written their checkpoints; a second Ctrl-C kills them."""
        running = list(self._running)
        self._running.clear()
        try:
            for each in running:
                self._ray.cancel(each)
            left = self._ray.wait(running, num_returns=len(running), timeout=_SECONDS_TO_CANCEL)[1] if running else []
        except KeyboardInterrupt:
            left = running
        for each in left:
            self._ray.cancel(each, force=True)

    def _exit(self, reference: Any) -> Exit:
        task, machine = self._running.pop(reference)
        errors = self._ray.exceptions
        try:
            return Exit(task, self._ray.get(reference))
        except errors.RayTaskError as error:  # an error of this module on the other machine: a full disk, no folder
            return Exit(task, 1, failure_of(task.folder) or f"{machine.name}: {error.cause or error}")
        except errors.OutOfMemoryError:
            reason = f"the memory of {machine.name} was full"
        except errors.RayError as error:
            reason = f"its worker on {machine.name} is gone ({type(error).__name__})"
        self._lost[machine.node] = time.monotonic()
        return Exit(task, None, reason)

    def _refresh(self) -> None:
        """Read again, once a second, which machines there are; new ones must see the files, too."""
        now = time.monotonic()
        if now - self._read < _SECONDS_PER_REFRESH:
            return
        self._machines = machines_of(self._ray.nodes(), self.device, self._cores)
        self._look([machine for machine in self._machines if machine.node not in self._looked])
        self._machines = [machine for machine in self._machines if not self._looked.get(machine.node)]
        self._read = now
        if self._machines or self._running:
            self._had_machines = now
        elif now - self._had_machines > _SECONDS_WITHOUT_MACHINES:
            raise SageError("The cluster has no machines left. Start some; the same command resumes.")

    def _look(self, machines: Sequence[Machine]) -> None:
        """Note for each machine what is wrong with it, or ""."""
        if self._files is None or not machines:
            return
        folder, inputs = self._files
        token = folder / unfinished_name("seen.txt")
        secret = os.urandom(8).hex()
        write_text(token, secret)
        try:
            arguments = __version__, str(token), secret, [str(path) for path in inputs]
            looks = {each.node: self._bound(_look, each, num_cpus=0).remote(*arguments) for each in machines}
            deadline = time.monotonic() + _SECONDS_TO_LOOK
            for machine in machines:
                problem = self._answer(looks[machine.node], deadline - time.monotonic())
                self._looked[machine.node] = f"The machine {machine.name} {problem}" if problem else ""
        finally:
            token.unlink(missing_ok=True)

    def _answer(self, look: Any, seconds: float) -> str:
        errors = self._ray.exceptions
        try:
            return self._ray.get(look, timeout=max(0.1, seconds))
        except errors.GetTimeoutError:
            self._ray.cancel(look)
            return f"has started no worker within {_SECONDS_TO_LOOK} s. Look at Ray's logs there."
        except errors.RayError as error:
            return (
                f"cannot run sage_ns ({str(error).strip().splitlines()[-1]}). Start Ray there in an environment that "
                f"has sage_ns {__version__} with its extra 'cluster'."
            )

    def _bound(self, function: Any, machine: Machine, **options: Any) -> Any:
        """Return a function as a Ray task of one machine; we repeat lost ones ourselves, to tell the user."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        where = NodeAffinitySchedulingStrategy(machine.node, soft=False)
        return self._ray.remote(function).options(max_retries=0, scheduling_strategy=where, **options)


def _work(module: str, folder: str, variables: dict[str, str]) -> int:
    """Run a task's process on the machine where this is called; returns its exit code."""
    return run_process(module, Path(folder), variables)


def _look(version: str, token: str, secret: str, inputs: list[str]) -> str:
    """Return what is wrong with the machine where this is called; "" if nothing is."""
    if version != __version__:
        return f"has sage_ns {__version__}, this machine {version}. Install the same version on both."
    path = Path(token)
    if not path.is_file() or path.read_text(encoding="utf-8") != secret:
        return f"does not see {path.parent}. Give an output folder on a disk that all machines share."
    if not os.access(path.parent, os.W_OK):
        return f"may not write to {path.parent}. Give a folder that all machines may write to."
    missing = [each for each in inputs if not Path(each).exists()]
    if missing:
        return f"does not see {missing[0]}. Put it on a disk that all machines share, under the same path."
    return ""
