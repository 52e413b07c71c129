"""A whole Debitum as a person starts it, `debitum up`, in processes of its own that can be found and killed."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import psutil

from debitum import leash, processes
from debitum.demo_stack import OUTSIDE, STOP_SECONDS, DemoError, launch
from pipelines import forks
from tests.debitum.test_up import free_port

START_SECONDS: Final = 180
LOOK_SECONDS: Final = 0.2
"""Between two looks at what it has said: a file tells nobody that it has grown."""
NEVER: Final = "0 0 1 1 *"
"""For schedules that a scene is not about: the only runs are those of `dispatch`."""


class Stack:
    """A running `debitum up` on `data_dir`."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str]) -> None:
        self._data_dir = data_dir
        self._began = time.time() - 1
        self._said = (data_dir / "said.txt").open("wb+")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
        port, dagster_port = free_port(), free_port()
        self.api = f"http://127.0.0.1:{port}"
        self._dagster = f"http://127.0.0.1:{dagster_port}"
        own = {
            "DEBITUM_PORT": str(port),
            "DEBITUM_DAGSTER_PORT": str(dagster_port),
            "DEBITUM_WORKERS": "1",
            "DEBITUM_REMINDER_CRON": NEVER,
            "DEBITUM_SNAPSHOT_CRON": NEVER,
        }
        self._process = subprocess.Popen(
            leash.tied(*processes.python("debitum", "up", "--data-dir", str(data_dir))),
            env={**kept, **own, **environment},
            cwd=data_dir,  # no .env lies here
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,
        )

    def said(self) -> str:
        """What it has said so far. It shares the file's position, which must not be moved."""
        file = self._said.fileno()
        return os.pread(file, os.fstat(file).st_size, 0).decode()

    def wait_until_it_answers(self) -> None:
        """All parts of it."""
        deadline = time.monotonic() + START_SECONDS
        while "everything answers" not in self.said():
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(LOOK_SECONDS)

    def start_dispatch(self) -> None:
        """As somebody does it by hand on Dagster's pages, who does not want to wait for the sensor; it may not work just then."""
        with suppress(httpx.HTTPError, DemoError):
            self.start("dispatch", {})

    def start(self, job: str, tags: Mapping[str, str]) -> None:
        """A run of `job`, likewise. Raises httpx.HTTPError, DemoError."""
        launch(self._dagster, job, tags)

    def runs(self) -> list[psutil.Process]:
        """The processes of Dagster's runs, the newest last: forks of the code server, which may outlive it."""
        _, of_runs = forks.NAMES
        found = (process for process in self._found("code-server") if process.name() == of_runs)
        return sorted(found, key=lambda process: process.create_time())

    def code_server(self) -> psutil.Process | None:
        """Dagster's code server, unless it is just dead."""
        return next((process for process in self._found("code-server") if process.name() not in forks.NAMES), None)

    def daemon(self) -> psutil.Process | None:
        """Dagster's daemon, likewise."""
        return next(iter(self._found("daemon")), None)

    def _found(self, word: str) -> Iterator[psutil.Process]:
        """Processes of this stack alone: every one of them has its data folder in its environment."""
        mark = (processes.MARK, str(self._data_dir))
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.create_time() < self._began or not any(word in argument for argument in process.cmdline()):
                    continue
                if mark in process.environ().items():
                    yield process

    def close(self) -> None:
        """Ended as Ctrl-C ends it; what does not end is killed."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            processes.end_leftovers(self._data_dir)
        self._said.close()


@contextmanager
def stack(data_dir: Path, environment: Mapping[str, str]) -> Iterator[Stack]:
    """A stack that answers, which is stopped in the end."""
    made = Stack(data_dir, environment)
    try:
        made.wait_until_it_answers()
        yield made
    finally:
        made.close()
