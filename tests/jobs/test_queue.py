"""Order, groups and retries of tasks, on a workplace that is only imagined."""

from __future__ import annotations

import io
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from sage_ns.jobs.display import Display
from sage_ns.jobs.queue import MOST_TRIES, run_all
from sage_ns.jobs.task import Exit, Task
from sage_ns.jobs.workplace import Device, ThisMachine, Workplace
from tests.jobs.fake import fake_task, starts_of, state_of


class Imagined:
    """Places that end the task which has run longest, with the exit codes that are given for it."""

    device: Device | None = None

    def __init__(self, num_places: int, codes: dict[str, list[int | None]] | None = None) -> None:
        self.num_places, self.codes = num_places, codes or {}
        self.running: list[Task] = []
        self.told: list[str] = []
        self.stopped = False

    def check(self, folder: Path, inputs: Sequence[Path]) -> None:
        raise AssertionError

    def start(self, task: Task) -> str | None:
        if len(self.running) == self.num_places:
            return None
        self.running.append(task)
        self.told.append(f"+{task.cells[0]}")
        return "machine"

    def ended(self, seconds: float) -> list[Exit]:
        task = self.running.pop(0)
        self.told.append(f"-{task.cells[0]}")
        codes = self.codes.get(task.cells[0])
        return [Exit(task, codes.pop(0) if codes else 0)]

    def stop(self) -> None:
        self.stopped = True


def run(tasks: list[Task], workplace: Workplace) -> tuple[dict[str, str], str]:
    text = io.StringIO()
    display = Display(Console(file=text, width=200), "row", ("row", "of"), tasks)
    return {each.task.cells[0]: each.reason for each in run_all(tasks, workplace, display)}, text.getvalue()


def tasks_of(names: str, folder: Path, groups: str = "") -> list[Task]:
    found = zip(names, groups.ljust(len(names)), strict=True)
    return [Task((name, "one"), "none", folder / name, group.strip()) for name, group in found]


def test_tasks_start_in_their_order_and_each_once(tmp_path: Path) -> None:
    place = Imagined(2)
    outcome, _ = run(tasks_of("abcd", tmp_path), place)
    assert place.told == ["+a", "+b", "-a", "+c", "-b", "+d", "-c", "-d"]
    assert outcome == dict.fromkeys("abcd", "") and place.stopped


def test_tasks_of_a_group_follow_each_other_and_others_pass_them(tmp_path: Path) -> None:
    place = Imagined(2)
    run(tasks_of("abcde", tmp_path, groups="xx xy"), place)
    assert place.told == ["+a", "+c", "-a", "+b", "-c", "+e", "-b", "+d", "-e", "-d"]


@pytest.mark.parametrize("lost", [None, -9, -signal.SIGSEGV])
def test_a_lost_task_is_the_next_to_start_again(lost: int | None, tmp_path: Path) -> None:
    place = Imagined(1, {"a": [lost, 0]})
    outcome, text = run(tasks_of("abc", tmp_path, groups="xx"), place)
    assert place.told == ["+a", "-a", "+a", "-a", "+b", "-b", "+c", "-c"]
    assert outcome == dict.fromkeys("abc", "")
    assert text.count("a, one: lost on machine (") == 1 and "started on machine, try 2" in text


def test_a_task_that_is_lost_each_time_fails_and_the_others_go_on(tmp_path: Path) -> None:
    place = Imagined(1, {"a": [None] * 9, "b": [-9] * 9})
    outcome, _ = run(tasks_of("abc", tmp_path), place)
    assert place.told.count("+a") == place.told.count("+b") == MOST_TRIES == 3
    assert outcome == {
        "a": "its machine is gone, 3 times",
        "b": "killed by signal 9 (the memory may have been full), 3 times",
        "c": "",
    }


def test_a_task_that_fails_by_itself_is_not_tried_again(tmp_path: Path) -> None:
    place = Imagined(1, {"a": [1]})
    assert run(tasks_of("ab", tmp_path), place)[0] == {"a": "exit code 1", "b": ""}
    assert place.told.count("+a") == 1


def test_an_error_stops_what_runs(tmp_path: Path) -> None:
    place = Imagined(2)
    tasks = tasks_of("abc", tmp_path)
    outcomes = run_all(tasks, place, Display(Console(file=io.StringIO()), "row", ("row", "of"), tasks))
    assert next(outcomes).task is tasks[0] and not place.stopped
    outcomes.close()
    assert place.stopped and "+c" not in place.told


def test_this_machine_runs_real_processes_in_sequence(tmp_path: Path) -> None:
    tasks = [
        fake_task(tmp_path, "a", steps=10),
        fake_task(tmp_path, "b", fails="/x/y: no such file"),
        fake_task(tmp_path, "c", exits=7),
        fake_task(tmp_path, "d", killed=9),
    ]
    outcome, _ = run(tasks, ThisMachine(cores=3))
    assert outcome["a"] == "" and outcome["b"] == "/x/y: no such file" and outcome["c"] == "exit code 7"
    assert outcome["d"].startswith("killed by signal 9") and len(starts_of(tasks[3])) == MOST_TRIES
    assert starts_of(tasks[0])[0]["threads"] == "3" and state_of(tasks[0])["done"]
    assert "SageError: /x/y: no such file" in (tmp_path / "b" / "log.txt").read_text()
    assert starts_of(tasks[1])[0]["at"] > state_of(tasks[0])["ended"]  # type: ignore[operator]


def test_ctrl_c_on_this_machine_lets_the_task_save(tmp_path: Path) -> None:
    task = fake_task(tmp_path, "a", steps=10_000, seconds=0.01)

    class Pressed(Display):
        def update(self, now: bool = False) -> None:
            if state_of(task):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_all([task], ThisMachine(), Pressed(Console(file=io.StringIO()), "row", ("row", "of"), [task])))
    assert state_of(task)["interrupted"] and not Path(f"/proc/{starts_of(task)[0]['process']}").exists()
