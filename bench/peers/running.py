"""What runs a peer: a database of its own on the server that ours is on, and a server process on a port of loopback."""

import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psutil
import psycopg

from bench.harness import LOOK_SECONDS, START_SECONDS, STOP_SECONDS, Api
from bench.peers import installing
from storage import urls

SAID: Final = 4_000
"""Bytes of what a server said last."""
FLUSHES: Final = 200
TRY_SECONDS: Final = 1.5
"""For each of the ways in which a peer may be driven, to find out which one it likes best."""


class Database(NamedTuple):
    """On the embedded server, with the same settings as ours: what is committed is on the disk."""

    name: str
    folder: str
    """Of the server's socket."""

    @property
    def url(self) -> str:
        """As its superuser: nothing of row-level security, which ours has, is asked of it."""
        return f"postgresql://postgres@/{self.name}?host={urllib.parse.quote(self.folder)}"


def database(url: str, name: str) -> Database:
    """A new one, beside the one at `url`."""
    libpq = urls.libpq_url(url)
    with psycopg.connect(libpq, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return Database(name, urllib.parse.parse_qs(urllib.parse.urlsplit(libpq).query)["host"][0])


def flush_ms() -> float:
    """The median time of a flush of a page, on the disk that all sides write to: whoever flushes for each change waits for it."""
    page, times = bytes(8_192), []
    with tempfile.TemporaryFile() as file:
        for _ in range(FLUSHES):
            file.write(page)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1_000)
    return statistics.median(times)


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def environ(*environments: Path, **settings: str) -> dict[str, str]:
    """Ours without what is set for us, and with the programs of `environments` first."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DEBITUM_", "DATABASE_"))}
    return {**inherited, "PATH": installing.path(*environments), **settings}


@contextmanager
def serve(command: Sequence[str], port: int, settings: Mapping[str, str]) -> Iterator[Api]:
    """A server that will listen on `port`, in processes of its own; what it says goes to a file."""
    with tempfile.TemporaryFile() as log:
        process = psutil.Popen(command, env=settings, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait(process, port, log.fileno())
            yield Api(f"http://127.0.0.1:{port}", process)
        finally:
            children = process.children(recursive=True)
            process.terminate()
            for left in psutil.wait_procs([process, *children], STOP_SECONDS)[1]:
                left.kill()
            process.wait()


def _wait(process: psutil.Process, port: int, log: int) -> None:
    """Until it listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE or time.monotonic() > deadline:
                said = os.pread(log, 1_000_000, 0)[-SAID:].decode(errors="replace")
                raise RuntimeError(f"a server did not start: {said}") from None
            time.sleep(LOOK_SECONDS)  # somebody else's server tells nobody when it listens
        else:
            return
