"""Dagster's own tables, brought to the revision of the Dagster that is installed. Dagster makes them, and they outlive it."""

import importlib.util
import re
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import psycopg

from debitum import leash, processes
from debitum.dagster_upgrade import IN_USE
from debitum.database import DatabaseError
from debitum.saying import Voice
from storage import dagster_tables, migrations, names, urls

REVISIONS: Final = Path("_core", "storage", "alembic", "versions")
"""In Dagster's package. They are read as text: to import one is to import Dagster, which takes seconds, mostly for nothing."""


class DagsterSchemaError(DatabaseError):
    """Dagster's tables cannot be used; the text says why and what to do."""


def upgrade(url: str, environment: Mapping[str, str], say: Voice) -> str | None:
    """Bring the tables in the database of `url` to the newest revision, which is returned; None where there are none yet.

    Two that do it at once do it one after the other. It can be killed at any moment, and run again. Raises DagsterSchemaError.
    """
    try:
        with dagster_tables.alone(url, "debitum-migrate") as connection:
            found = dagster_tables.revision(connection)
            if found is None or (found == newest() and not dagster_tables.is_unfinished(connection)):
                return found
            if found not in _revisions():
                raise DagsterSchemaError(_too_new(found))
            text = f"dagster: its tables are at revision {found}, and are brought to {newest()}"
            say(text, "dagster_schema_upgrades", revision=found)
            began = time.monotonic()
            dagster_tables.begin(connection)
            _run(url, environment)
            dagster_tables.end(connection)
    except psycopg.Error as error:
        raise DagsterSchemaError(f"Dagster's tables could not be brought to this version: {str(error).strip()}") from error
    seconds = round(time.monotonic() - began, 1)
    text = f"dagster: its tables are at revision {newest()} ({seconds} s)"
    say(text, "dagster_schema_is_ready", revision=newest(), seconds=seconds)
    return newest()


def newest() -> str:
    """The revision of the Dagster that is installed."""
    revisions = _revisions()
    [head] = revisions.keys() - {before for earlier in revisions.values() for before in earlier}
    return head


@cache
def _revisions() -> Mapping[str, tuple[str, ...]]:
    """Every revision, with those that it comes after."""
    dagster = importlib.util.find_spec("dagster")  # finds it, and does not import it
    assert dagster is not None
    assert dagster.submodule_search_locations is not None
    texts = [file.read_text() for file in Path(dagster.submodule_search_locations[0], REVISIONS).glob("*.py")]
    named = [re.findall(r"^(revision|down_revision)\b.*?=(.+)$", text, re.MULTILINE) for text in texts]
    quoted = [{name: tuple(re.findall(r"[\"'](\w+)[\"']", value)) for name, value in found} for found in named if found]
    return {found["revision"][0]: found["down_revision"] for found in quoted}


def _run(url: str, environment: Mapping[str, str]) -> None:
    """In a program of its own, which ends with this one: who comes next must not find it at work."""
    tables = urls.psycopg2_url(url, schema=names.DAGSTER_SCHEMA, lock_seconds=migrations.LOCK_SECONDS)
    ended = subprocess.run(
        leash.tied(*processes.python("debitum.dagster_upgrade")),
        env={**environment, "DEBITUM_DAGSTER_DATABASE_URL": tables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if ended.returncode == IN_USE:
        raise DagsterSchemaError(
            f"Dagster's tables could not be brought to this version: one was in use for more than {migrations.LOCK_SECONDS} s. "
            "What was done so far stays: wait until what uses it has ended, then run `debitum migrate`"
        )
    if ended.returncode != 0:
        raise DagsterSchemaError(
            f"Dagster's tables could not be brought to this version: the upgrade ended with exit code {ended.returncode}, "
            "and standard error tells where. Nothing that people recorded lies in them: `drop schema dagster cascade` begins anew"
        )


def _too_new(revision: str) -> str:
    return (
        f"Dagster's tables are at revision {revision}, which this Dagster does not know: a newer version has upgraded them (this "
        f"one ends with {newest()}). Start `debitum up` of that version, or give up the history of Dagster's runs, which is all "
        "that lies there: `drop schema dagster cascade`, then `debitum migrate`"
    )
