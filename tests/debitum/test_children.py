"""Supervised children, with small programs in the place of the real ones."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from debitum import children, processes
from debitum.children import Child, Pauses, Plan
from debitum.saying import Voice
from telemetry import exceptions

QUICK = Pauses(first_seconds=0.05, longest_seconds=0.2, steady_seconds=60)
SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP


def plan(folder: Path, program: str, *, name: str = "part", grace_seconds: float = 5, whole_group: bool = False) -> Plan:
    return Plan(
        name=name,
        command=(sys.executable, "-S", "-c", program),
        environment={**os.environ, processes.MARK: str(folder)},
        log=folder / f"{name}.log",
        grace_seconds=grace_seconds,
        whole_group=whole_group,
    )


def heard(said: list[str]) -> Voice:
    """Keeps the sentences in `said`."""
    return lambda text, _, /, **__: said.append(text)


def wait_until(condition: Callable[[], object], seconds: float = 10, *, every: float = 0.01) -> None:
    """`every`: seconds between two looks; the longer, the more a look costs whoever is looked at."""
    asyncio.run(until(condition, seconds, every=every))


async def until(condition: Callable[[], object], seconds: float = 30, *, every: float = 0.01) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(every)


def wrote(log: Path, text: str = "up") -> Callable[[], bool]:
    return lambda: log.exists() and text in log.read_text()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_child_that_dies_is_started_again_and_the_reason_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    child = Child(plan(tmp_path, "print('no such thing', flush=True); raise SystemExit(7)"), heard(said), pauses=QUICK)
    running = asyncio.create_task(child.run())
    await until(lambda: child.starts >= 4)
    await child.stop()
    await running
    deaths = [text for text in said if "exit code 7" in text]
    assert len(deaths) >= 3
    assert all("no such thing" in text and text.count("no such thing") == 1 for text in deaths)
    assert [text.split(" in ")[1].split(" s.")[0] for text in deaths[:3]] == ["0.05", "0.1", "0.2"]


async def test_a_child_that_the_system_has_no_room_for_is_started_later(tmp_path: Path) -> None:
    said: list[str] = []
    full = tmp_path / "full"
    child = Child(plan(full, SLEEP), heard(said), pauses=QUICK)
    running = asyncio.create_task(child.run())
    await until(lambda: len(said) >= 2)
    assert said[:2] == [f"part cannot be started (No such file or directory); again in {pause} s" for pause in (0.05, 0.1)]
    full.mkdir()
    await until(wrote(full / "part.log"))
    await child.stop()
    await running


def test_the_last_lines_have_the_error_and_not_its_frames_alone(tmp_path: Path) -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError

    log = tmp_path / "part.log"
    try:
        deep(30)
    except ValueError as error:
        shown = exceptions.text(exceptions.describe(error))
    log.write_text(f"earlier\n2026-11-28 [critical ] uncaught\n{shown}\n")
    uncaught, what, *frames = children._tail(log, len("earlier\n"))
    assert (uncaught, what) == ("2026-11-28 [critical ] uncaught", "ValueError")
    assert len(frames) == children.TAIL_FRAMES
    assert "deep" in frames[0]


async def test_a_killed_child_is_told_by_the_name_of_the_signal(tmp_path: Path) -> None:
    said: list[str] = []
    child = Child(plan(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), heard(said), pauses=QUICK)
    running = asyncio.create_task(child.run())
    await until(lambda: any("killed by SIGKILL" in text for text in said))
    await child.stop()
    await running


def test_pauses_double_up_to_the_longest() -> None:
    assert [Pauses().after(failures) for failures in (1, 2, 3, 4, 5, 6, 100)] == [1, 2, 4, 8, 16, 30, 30]


async def test_ready_is_told_when_the_part_answers_not_when_it_starts(tmp_path: Path) -> None:
    said: list[str] = []
    answering = False

    async def answers() -> bool:
        return answering

    asked = plan(tmp_path, SLEEP)
    child = Child(Plan(**{**vars(asked), "answers": answers, "address": "http://127.0.0.1:1"}), heard(said))
    running = asyncio.create_task(child.run())
    await until(wrote(asked.log))
    assert not child.ready.is_set()
    answering = True
    await asyncio.wait_for(child.ready.wait(), 5)
    assert "answers at http://127.0.0.1:1" in said[0]
    await child.stop()
    await running


async def test_a_child_that_ignores_sigterm_is_killed_with_its_group(tmp_path: Path) -> None:
    said: list[str] = []
    program = f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', {STUBBORN!r}]); {STUBBORN}"
    child = Child(plan(tmp_path, program, grace_seconds=0.3, whole_group=True), heard(said))
    running = asyncio.create_task(child.run())
    await until(lambda: wrote(tmp_path / "part.log")() and (tmp_path / "part.log").read_text().count("up") == 2)
    began = time.monotonic()
    await child.stop()
    await running
    assert time.monotonic() - began < 5
    assert any("killed" in text for text in said)
    await until(lambda: not processes.end_leftovers(tmp_path))


async def test_workers_whose_parent_died_do_not_stay(tmp_path: Path) -> None:
    worker_program = f"p = subprocess.Popen([sys.executable, '-S', '-c', {SLEEP!r}])"
    program = f"import subprocess, sys, os; {worker_program}; print(p.pid, flush=True); os._exit(1)"
    child = Child(plan(tmp_path, program), heard([]), pauses=Pauses(first_seconds=30))
    running = asyncio.create_task(child.run())
    await until(lambda: (tmp_path / "part.log").exists() and (tmp_path / "part.log").read_text().strip())
    worker = int((tmp_path / "part.log").read_text().split()[0])
    await until(lambda: gone(worker))
    await child.stop()
    await running


async def test_stopping_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    for _ in range(5):
        child = Child(plan(tmp_path, SLEEP), heard([]))
        running = asyncio.create_task(child.run())
        await asyncio.sleep(0)
        await child.stop()
        await asyncio.wait_for(running, 5)
    assert processes.end_leftovers(tmp_path) == []


async def test_an_overlong_log_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LOG_BYTES", 10)
    log = tmp_path / "part.log"
    log.write_text("old " * 10)
    log.chmod(0o644)
    child = Child(plan(tmp_path, SLEEP), heard([]))
    running = asyncio.create_task(child.run())
    await until(lambda: "up" in log.read_text())
    await child.stop()
    await running
    assert log.read_text() == "up\n"
    assert (tmp_path / "part.log.1").read_text() == "old " * 10


def test_a_log_is_its_owners_alone_whatever_it_was_before(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("before\n")
    log.chmod(0o644)
    usual = os.umask(0)
    try:
        for path in (log, tmp_path / "new.log"):
            with children.private_log(path) as file:
                file.write(b"after\n")
            assert path.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(usual)
    assert log.read_text() == "before\nafter\n"
    with children.private_log(log, anew=True) as file:
        assert file.tell() == 0


PARENT = """
import asyncio, sys
from pathlib import Path
from tests.debitum.test_children import SLEEP, plan
from debitum.children import Child
from debitum.saying import people
asyncio.run(Child(plan(Path(sys.argv[1]), SLEEP), people).run())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the children of a killed parent on Linux only")
def test_children_go_with_a_killed_supervisor(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    try:
        wait_until(wrote(tmp_path / "part.log"))
        (child,) = psutil.Process(parent.pid).children()
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_until(lambda: gone(child.pid), seconds=10)


def test_what_still_runs_after_a_kill_is_found_by_its_mark(tmp_path: Path) -> None:
    environment = {processes.MARK: str(tmp_path)}
    with subprocess.Popen([sys.executable, "-S", "-c", SLEEP], env=environment, stdout=subprocess.PIPE) as orphan:
        assert orphan.stdout is not None
        orphan.stdout.readline()
        (ended,) = processes.end_leftovers(tmp_path)
        assert str(orphan.pid) in ended
        assert gone(orphan.pid)
