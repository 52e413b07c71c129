"""Dagster's pages beside a server that runs without them: shown, closed by whoever looks, and closed when the server ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import psutil

from debitum import demo_stack, processes
from tests.debitum.test_children import wait_until
from tests.debitum.test_up import free_port
from tests.faults.household import Figures
from tests.faults.stack import Stack

Say = Callable[[str], None]
PATIENCE_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.2
"""Between two looks at pages, which have to work for each."""
JOB: Final = "materialise_balances"


def pages_come_and_go(folder: Path, say: Say) -> Figures:
    """`debitum ui` beside `debitum up --no-ui`, which are stopped in both orders."""
    data, port = folder / "data", free_port()
    data.mkdir()
    pages = f"http://127.0.0.1:{port}"
    up = Stack(data, {"DEBITUM_NO_UI": "1"})
    try:
        up.wait_until_it_answers()
        with _ui(folder, data, port) as ui:
            run = demo_stack.launch(pages, JOB)
            wait_until(lambda: demo_stack.status(pages, run) in ("SUCCESS", "FAILURE"), PATIENCE_SECONDS, every=LOOK_SECONDS)
            assert demo_stack.status(pages, run) == "SUCCESS"
            ui.send_signal(signal.SIGINT)
            assert ui.wait(PATIENCE_SECONDS) == 0
        assert not _answers(pages)
        assert httpx.get(f"{up.api}/health/ready").status_code == httpx.codes.OK, "the server goes on without them"
        say("the pages showed a run, and were closed; the server went on")
        with _ui(folder, data, port) as ui:
            assert demo_stack.status(pages, run) == "SUCCESS"
            up.close()
            assert ui.wait(PATIENCE_SECONDS) == 0
        assert "the supervisor has ended, and so do its pages" in (folder / "ui.txt").read_text()
        assert not _answers(pages)
        assert list(_left(data)) == []
        say("the server ended, and so did its pages")
    finally:
        with suppress(ValueError, ProcessLookupError):
            up.close()
    return Figures()


@contextmanager
def _ui(folder: Path, data: Path, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    """A running `debitum ui` that answers."""
    command = (sys.executable, "-P", "-m", "debitum", "ui", "--data-dir", str(data), "--dagster-port", str(port))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(demo_stack.OUTSIDE)}
    with (folder / "ui.txt").open("wb") as said:
        ui = subprocess.Popen(command, env=kept, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(address) or ui.poll() is not None, PATIENCE_SECONDS, every=LOOK_SECONDS)
            assert ui.poll() is None, (folder / "ui.txt").read_text()
            yield ui
        finally:
            ui.kill()
            ui.wait()


def _answers(pages: str) -> bool:
    try:
        return httpx.get(f"{pages}/server_info").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _left(data: Path) -> Iterator[str]:
    """What still runs of that data folder."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get(processes.MARK) == str(data):
                yield " ".join(process.cmdline())
