"""The schema of the database: brought to this code's revision, or refused where it is of another."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from debitum.database import Database, DatabaseError, borrowed
from debitum.settings import Settings
from storage import engine, migrations, revisions
from storage.encryption import KeyRing, KeyRingError


def migrate(database: Database, keys: KeyRing | None) -> str:
    """Bring the schema to this code's revision, which is returned; `keys` where there are any yet. Raises DatabaseError."""
    try:
        with engine.temporary(database.url, "debitum-migrate") as made, made.connect() as connection:
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


def require(database: Database) -> None:
    """Refuse a schema that is not this code's. Raises DatabaseError."""
    try:
        with engine.temporary(database.url, "debitum-schema") as made, made.connect() as connection:
            revision = migrations.current(connection)
    except SQLAlchemyError as error:
        raise DatabaseError(f"the schema cannot be read: {getattr(error, 'orig', None) or error}") from error
    if not revisions.is_known(revision):
        raise DatabaseError(_too_new(str(revision)))
    if revision != revisions.newest():
        raise DatabaseError(f"the schema is at revision {revision}: run `debitum migrate` first")


def _too_new(revision: str) -> str:
    return (
        f"the schema is at revision {revision}, which Debitum {metadata.version('debitum')} does not know: a newer version has "
        f"migrated it (this one ends with {revisions.newest()}). Start `debitum up` of that version; the way back is a backup "
        "that was made before"
    )


@contextmanager
def opened(settings: Settings, application_name: str) -> Iterator[Engine]:
    """An engine for one command, on a database whose schema is this code's. Raises DatabaseError."""
    with borrowed(settings) as found:
        require(found)
        with engine.temporary(found.url, application_name) as made:
            yield made
