from __future__ import annotations

from pathlib import Path

from sage_ns.bench.clock import Clock


def clock(folder: Path) -> Clock:
    return Clock(folder / "clock.json")


def test_the_first_step_is_setup(tmp_path: Path) -> None:
    running = clock(tmp_path)
    running.begin(0, 5, setup=2.0)
    for phase in ("A", "A", "A", "B", "B"):
        running.add(phase, 1.0)
    assert running.seconds == {"setup": 3.0, "A": 2.0, "B": 2.0}
    assert running.step == 5


def test_time_lost_by_an_interruption_is_dropped(tmp_path: Path) -> None:
    first = clock(tmp_path)
    first.begin(0, 10, setup=2.0)
    for step in range(5):
        first.add("A", 1.0)
        if step in (1, 3):
            first.mark()
    first.write()
    second = clock(tmp_path)
    second.begin(4, 10, setup=100.0)
    assert second.seconds == {"setup": 3.0, "A": 3.0}
    assert second.step == 4 and second.peak_bytes >= first.peak_bytes > 0
    third = clock(tmp_path)
    third.begin(0, 10, setup=7.0)  # begun again from nothing
    assert third.seconds == {"setup": 7.0} and third.at_checkpoint == {}


def test_a_clock_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert Clock.read(tmp_path) is None
    written = clock(tmp_path)
    written.begin(0, 10, setup=2.0)
    written.add("A", 1.0)
    written.mark()
    assert Clock.read(tmp_path) == written
