"""What a crash leaves in the data folder: pid files of servers that are gone, and a server's processes without their first."""

import json
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

from debitum import cli, commands, instance
from storage import embedded
from tests.debitum.test_children import gone, wait_until
from tests.debitum.test_up import START_SECONDS, Up, folder, free_port
from tests.fixtures.api import PASSWORD

__all__ = ("folder",)
BUSY = "select count(*) from generate_series(1, 1000000000000)"
"""A backend at this does not notice that the first process of its server is gone."""


def test_everything_acknowledged_is_there_after_the_supervisor_and_postgres_were_killed(folder: Path) -> None:
    """The supervisor alone, whose Postgres the next one takes over; then both, and a backend lives on."""
    ups = [Up(folder, free_port())]
    try:
        ups[0].wait_for("everything answers")
        with httpx.Client(base_url=f"http://127.0.0.1:{ups[0].port}", timeout=30) as http:
            account = {"email": "ada@example.org", "password": PASSWORD}
            http.headers["Authorization"] = f"Bearer {http.post('/api/auth/register', json=account).json()['access_token']}"
            contact = str(uuid.uuid4())
            assert http.post("/api/contacts", json={"id": contact, "name": "Ana"}).status_code == 201
        postgres = embedded.running(ups[0].data_dir)
        assert postgres is not None
        (api,) = psutil.Process(ups[0].process.pid).children()
        ups[0].end(signal.SIGKILL)
        wait_until(lambda: gone(api.pid))
        assert json.loads((folder / "data" / "up.json").read_text())["pid"] == ups[0].process.pid
        assert instance.holder(folder / "data") is None

        ups.append(Up(folder, ups[0].port))
        ups[1].wait_for("schema is at")
        assert "was killed; this one takes over" in ups[1].said()
        assert embedded.running(folder / "data") == postgres
        with _busy(postgres.url) as backend:
            ups[1].end(signal.SIGKILL)
            os.kill(postgres.pid, signal.SIGKILL)
            wait_until(lambda: gone(postgres.pid))

            ups.append(Up(folder, ups[0].port))
            ups[2].wait_for("everything answers")
            assert gone(backend), "nobody works on the data without a server"
            with httpx.Client(base_url=f"http://127.0.0.1:{ups[0].port}", timeout=30) as http:
                signed_in = http.post("/api/auth/login", json=account)
                http.headers["Authorization"] = f"Bearer {signed_in.json()['access_token']}"
                assert http.get(f"/api/contacts/{contact}").json()["name"] == "Ana"
            assert ups[2].end(signal.SIGINT) == 0, ups[2].said()
            assert embedded.running(folder / "data") is None
    finally:
        for up in reversed(ups):
            up.clean_up()


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


def test_a_pid_file_whose_server_is_gone_is_no_obstacle(folder: Path, server: str) -> None:
    migrate = ["migrate", "--data-dir", str(folder)]
    assert cli.main(migrate) == commands.OK
    locks = [folder / "pgdata" / name for name in ("postmaster.pid", ".s.PGSQL.5432.lock")]
    try:
        for whose in ("nobody's", "another program's", "another cluster's"):
            address = embedded.start(folder)
            written = [lock.read_text() for lock in locks]
            os.kill(address.pid, signal.SIGKILL)
            wait_until(lambda: not _of(folder / "pgdata"), START_SECONDS)
            for lock, content in zip(locks, written, strict=True):
                lock.write_text(content.replace(str(address.pid), str(_pid(whose, address, server)), 1))
            assert cli.main(migrate) == commands.OK, whose
            assert not any(lock.exists() for lock in locks), f"it was started, and stopped: {whose}"
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
