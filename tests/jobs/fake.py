"""A task that only counts: it goes on where it was interrupted, and tells who works on it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from sage_ns.errors import SageError
from sage_ns.jobs.process import inside_task
from sage_ns.jobs.task import Progress, Task
from sage_ns.system.files import read_json, write_json


def fake_task(folder: Path, name: str, steps: int = 3, group: str = "", **settings: object) -> Task:
    """A task of so many steps; settings: seconds (of a step), fails (message), exits (code)."""
    write_json(folder / name / "settings.json", {"steps": steps, **settings})

    def progress() -> Progress | None:
        done = read_json(folder / name / "state.json")
        return None if done is None else Progress("counting", done["step"], steps)

    return Task((name, "one"), "tests.jobs.fake", folder / name, group, progress)


def state_of(task: Task) -> dict[str, object]:
    content = read_json(task.folder / "state.json")
    return {} if content is None else content


def starts_of(task: Task) -> list[dict[str, object]]:
    """The tries of a task: step where it began, threads, and the process that started it."""
    return [json.loads(line) for line in (task.folder / "starts.jsonl").read_text().splitlines()]


def work(folder: Path) -> None:
    settings, state = read_json(folder / "settings.json"), read_json(folder / "state.json") or {"step": 0}
    with (folder / "starts.jsonl").open("a") as file:
        start = {"step": state["step"], "parent": os.getppid(), "process": os.getpid(), "at": time.time()}
        threads = os.environ.get("OMP_NUM_THREADS")
        file.write(json.dumps({**start, "threads": threads, "gpus": os.environ.get("CUDA_VISIBLE_DEVICES")}) + "\n")
    if "fails" in settings:
        raise SageError(settings["fails"])
    if "exits" in settings:
        sys.exit(settings["exits"])
    if "killed" in settings:
        os.kill(os.getpid(), settings["killed"])
    step = state["step"]
    try:
        while step < settings["steps"]:
            time.sleep(settings.get("seconds", 0.01))
            step += 1
            if step % 5 == 0:
                write_json(folder / "state.json", {"step": step})
    except KeyboardInterrupt:
        write_json(folder / "state.json", {"step": step, "interrupted": True})
        sys.exit(130)
    write_json(folder / "state.json", {"step": step, "done": True, "ended": time.time()})


if __name__ == "__main__":
    with inside_task(Path(sys.argv[1]), int(sys.argv[3])):
        work(Path(sys.argv[1]))
