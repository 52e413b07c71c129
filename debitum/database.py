"""The database of a start: the embedded one or the one that DATABASE_URL names, and checked. Its schema is debitum.schema's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from debitum import commands, folders, instance
from debitum.commands import Say
from debitum.settings import Settings
from storage import embedded, major, server


class DatabaseError(Exception):
    """The database cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Database:
    """`url` as SQLAlchemy and libpq take it; `embedded` is the data folder of a server of ours, None for somebody else's.

    No pooler is in between: pg_dump, psql and a rebuild leave a role, settings and locks in their session, which would be some
    request's afterwards.
    """

    url: str
    embedded: Path | None
    description: str


def start(settings: Settings, say: Say = commands.say) -> Database:
    """Start the embedded server, or look at the one that DATABASE_URL names. Raises DatabaseError.

    Data of an older major version is brought to the newest first, which may take long: `say` tells of it.
    """
    if settings.database_url is not None:
        version = check(settings.database_url).version
        return Database(settings.database_direct_url or settings.database_url, None, f"PostgreSQL {version} of DATABASE_URL")
    try:
        major.upgrade(settings.data_dir, say)
        address = embedded.start(settings.data_dir)
    except (embedded.EmbeddedServerError, OSError) as error:
        raise DatabaseError(f"the embedded Postgres did not start: {error}") from error
    try:
        return _embedded(settings, address)
    except BaseException:
        embedded.stop(settings.data_dir)
        raise


def check(url: str) -> server.Server:
    """Look at the server of `url`. Raises DatabaseError where it cannot be reached or is too old."""
    try:
        found = server.inspect(url, "debitum")
    except server.UnreachableError as error:
        raise DatabaseError(f"Postgres cannot be reached: {str(error).strip()}") from error
    if found.major < server.MINIMUM_VERSION:
        raise DatabaseError(f"PostgreSQL {found.version} is too old: Debitum needs {server.MINIMUM_VERSION} or newer")
    return found


def require_durability(database: Database) -> None:
    """Refuse a server that could forget what it has acknowledged. Raises DatabaseError."""
    if (objection := check(database.url).objection) is not None:
        raise DatabaseError(objection)


def stop(database: Database) -> None:
    """Stop the server if it is ours."""
    if database.embedded is not None:
        embedded.stop(database.embedded)


@contextmanager
def started(settings: Settings) -> Iterator[Database]:
    """The database as `start` gives it; a server of ours is stopped when the block ends."""
    database = start(settings)
    try:
        yield database
    finally:
        stop(database)


@contextmanager
def borrowed(settings: Settings) -> Iterator[Database]:
    """The database for one command: a server of ours that no supervisor runs is stopped again. Raises DatabaseError."""
    if settings.database_url is not None:
        yield start(settings)
        return
    try:
        with instance.claim(settings.data_dir), started(settings) as found:
            yield found
    except instance.AlreadyRunningError:
        yield _running(settings)
    except folders.FolderError as error:
        raise DatabaseError(str(error)) from error


def running_url(settings: Settings) -> str | None:
    """The URL of DATABASE_URL, or of the embedded server; None where that does not run."""
    if settings.database_url is not None:
        return settings.database_url
    address = embedded.running(settings.data_dir)
    return None if address is None else address.url


def _running(settings: Settings) -> Database:
    address = embedded.running(settings.data_dir)
    if address is None:
        raise DatabaseError("the supervisor of this data folder has no Postgres running yet: try again in a moment")
    return _embedded(settings, address)


def _embedded(settings: Settings, address: embedded.Address) -> Database:
    return Database(address.url, settings.data_dir, f"PostgreSQL {check(address.url).version}, embedded")
