"""The database of a start: the embedded one or the one that DATABASE_URL names, checked and migrated."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from debitum import commands, instance
from debitum.settings import Settings
from storage import embedded, engine, major, migrations, server
from storage.encryption import KeyRing, KeyRingError


class DatabaseError(Exception):
    """The database cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Database:
    """`url` as SQLAlchemy and libpq take it; `embedded` is the data folder of a server of ours, None for somebody else's."""

    url: str
    embedded: Path | None
    description: str


def start(settings: Settings, say: Callable[[str], object] = commands.say) -> Database:
    """Start the embedded server, or look at the one that DATABASE_URL names. Raises DatabaseError.

    Data of an older major version is brought to the newest first, which may take long: `say` tells of it.
    """
    if settings.database_url is not None:
        return Database(settings.database_url, None, f"PostgreSQL {check(settings.database_url).version} of DATABASE_URL")
    try:
        major.upgrade(settings.data_dir, say)
        address = embedded.start(settings.data_dir)
    except embedded.EmbeddedServerError as error:
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


def migrate(database: Database, keys: KeyRing | None) -> str:
    """Bring the schema to this code's revision, which is returned; `keys` where there are any yet. Raises DatabaseError."""
    migrator = engine.sync_engine(database.url, "debitum-migrate")
    try:
        with migrator.connect() as connection:
            migrations.migrate(connection, keys)
            return migrations.current(connection) or "none"
    except (migrations.KeysNeededError, KeyRingError) as error:
        raise DatabaseError(str(error)) from error
    except migrations.SchemaTooNewError as error:
        raise DatabaseError(_too_new(str(error))) from error
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise DatabaseError(f"the schema could not be migrated: {error.orig}") from error
        raise DatabaseError(
            f"the schema could not be migrated: a table was in use for more than {migrations.LOCK_SECONDS} s. Nothing has "
            "changed: wait until what uses it has ended (a report, a dump, another session), then run `debitum migrate`"
        ) from error
    except SQLAlchemyError as error:
        raise DatabaseError(f"the schema could not be migrated: {getattr(error, 'orig', None) or error}") from error
    finally:
        migrator.dispose()


def require_schema(database: Database) -> None:
    """Refuse a schema that is not this code's. Raises DatabaseError."""
    found = engine.sync_engine(database.url, "debitum-schema")
    try:
        with found.connect() as connection:
            revision = migrations.current(connection)
    except SQLAlchemyError as error:
        raise DatabaseError(f"the schema cannot be read: {getattr(error, 'orig', None) or error}") from error
    finally:
        found.dispose()
    if not migrations.is_known(revision):
        raise DatabaseError(_too_new(str(revision)))
    if revision != migrations.newest():
        raise DatabaseError(f"the schema is at revision {revision}: run `debitum migrate` first")


def _too_new(revision: str) -> str:
    return (
        f"the schema is at revision {revision}, which Debitum {metadata.version('debitum')} does not know: a newer version has "
        f"migrated it (this one ends with {migrations.newest()}). Start `debitum up` of that version; the way back is a backup "
        "that was made before"
    )


def require_durability(database: Database) -> None:
    """Refuse a server that could forget what it has acknowledged. Raises DatabaseError."""
    if (objection := check(database.url).objection) is not None:
        raise DatabaseError(objection)


def stop(database: Database) -> None:
    """Stop the server if it is ours."""
    if database.embedded is not None:
        embedded.stop(database.embedded)


@contextmanager
def borrowed(settings: Settings) -> Iterator[Database]:
    """The database for one command: a server of ours that no supervisor runs is stopped again. Raises DatabaseError."""
    if settings.database_url is not None:
        yield start(settings)
        return
    try:
        with instance.claim(settings.data_dir):
            found = start(settings)
            try:
                yield found
            finally:
                stop(found)
    except instance.AlreadyRunningError:
        yield _running(settings)


@contextmanager
def opened(settings: Settings, application_name: str) -> Iterator[Engine]:
    """An engine for one command, on a database whose schema is this code's. Raises DatabaseError."""
    with borrowed(settings) as found:
        require_schema(found)
        made = engine.sync_engine(found.url, application_name)
        try:
            yield made
        finally:
            made.dispose()


def _running(settings: Settings) -> Database:
    address = embedded.running(settings.data_dir)
    if address is None:
        raise DatabaseError("the supervisor of this data folder has no Postgres running yet: try again in a moment")
    return _embedded(settings, address)


def _embedded(settings: Settings, address: embedded.Address) -> Database:
    return Database(address.url, settings.data_dir, f"PostgreSQL {check(address.url).version}, embedded")
