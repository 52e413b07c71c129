"""What a crash leaves in the data folder: pid files of servers that are gone, and a server's processes without their first."""

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from debitum import cli, commands
from storage import embedded
from tests.debitum.test_children import gone, wait_until
from tests.debitum.test_up import START_SECONDS, Up, folder, free_port
from tests.fixtures.api import PASSWORD

__all__ = ("folder",)
BUSY = "select count(*) from generate_series(1, 1000000000000)"
"""A backend at this does not notice that the first process of its server is gone."""


def test_everything_acknowledged_is_there_after_postgres_was_killed_and_a_backend_lives_on(folder: Path) -> None:
    first = Up(folder, free_port())
    try:
        first.wait_for("everything answers")
        with httpx.Client(base_url=f"http://127.0.0.1:{first.port}", timeout=30) as http:
            account = {"email": "ada@example.org", "password": PASSWORD}
            http.headers["Authorization"] = f"Bearer {http.post('/api/auth/register', json=account).json()['access_token']}"
            contact = str(uuid.uuid4())
            assert http.post("/api/contacts", json={"id": contact, "name": "Ana"}).status_code == 201
        postgres = embedded.running(first.data_dir)
        assert postgres is not None
        with _busy(postgres.url) as backend:
            first.end(signal.SIGKILL)
            os.kill(postgres.pid, signal.SIGKILL)
            wait_until(lambda: gone(postgres.pid))
            second = Up(folder, first.port)
            try:
                second.wait_for("everything answers")
                assert gone(backend), "nobody works on the data without a server"
                with httpx.Client(base_url=f"http://127.0.0.1:{first.port}", timeout=30) as http:
                    signed_in = http.post("/api/auth/login", json=account)
                    http.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
                    assert http.get(f"/api/contacts/{contact}").json()["name"] == "Ana"
                assert second.end(signal.SIGTERM) == 0, second.said()
            finally:
                second.clean_up()
    finally:
        first.clean_up()


@contextmanager
def _busy(url: str) -> Iterator[int]:
    """A backend that works, by its pid."""
    connection = psycopg.connect(url, autocommit=True)
    backend = connection.info.backend_pid  # a connection that is lost knows it no more

    def work() -> None:
        with suppress(psycopg.OperationalError):
            connection.execute(BUSY)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield backend
    finally:
        with suppress(ProcessLookupError):
            os.kill(backend, signal.SIGKILL)
        thread.join()
        connection.close()


@pytest.mark.parametrize("whose", ["nobody's", "another program's", "another cluster's"])
def test_a_pid_file_whose_server_is_gone_is_no_obstacle(whose: str, folder: Path, server: str) -> None:
    migrate = ["migrate", "--data-dir", str(folder)]
    assert cli.main(migrate) == commands.OK
    address = embedded.start(folder)
    locks = [folder / "pgdata" / name for name in ("postmaster.pid", ".s.PGSQL.5432.lock")]
    try:
        written = [lock.read_text() for lock in locks]
        os.kill(address.pid, signal.SIGKILL)
        wait_until(lambda: not _of(folder / "pgdata"), START_SECONDS)
        for lock, content in zip(locks, written, strict=True):
            lock.write_text(content.replace(str(address.pid), str(_pid(whose, address, server)), 1))
        assert cli.main(migrate) == commands.OK
        assert not any(lock.exists() for lock in locks), "it was started, and stopped"
    finally:
        embedded.stop(folder, mode="immediate")


def _pid(whose: str, address: embedded.Address, server: str) -> int:
    if whose == "nobody's":
        return address.pid
    if whose == "another program's":
        return os.getpid()
    with psycopg.connect(server) as connection:
        backend = psutil.Process(connection.info.backend_pid)
        return backend.ppid()


def _of(pgdata: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.name() == "postgres" and process.cwd() == str(pgdata):
                found.append(process)
    return found
