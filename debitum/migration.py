"""A program of its own, for what migrates is big, and done once a start: brings our schema to this version.

With the argument `dagster` Dagster's tables, too. Standard input is the environment of the parts (debitum.plans) as JSON, once
Postgres runs; where it ends without one, there is nothing to do. It says what it does as `debitum up` does.
"""

import json
import os
import sys
import time

from debitum import dagster_schema, keys, plans, saying, schema
from debitum.database import Database, DatabaseError
from storage.encryption import KeyRing
from telemetry import output


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    choice = output.Choice.from_environment(os.environ)
    output.configure(choice)
    if not (told := sys.stdin.read()):
        return 0
    os.environ.update(json.loads(told))
    say, began = saying.voice(choice), time.monotonic()
    try:
        url, ring = os.environ["DATABASE_URL"], KeyRing.parse(os.environ["DEBITUM_KEYS"])
        revision = schema.migrate(Database(url, None, ""), ring)
        keys.require_opening(url, ring)  # before a request comes that cannot be answered, or seals something by another key
        seconds = round(time.monotonic() - began, 1)
        say(f"schema is at revision {revision} ({seconds} s)", "schema_is_ready", revision=revision, seconds=seconds)
        if "dagster" in arguments:
            dagster_schema.upgrade(os.environ["DATABASE_DIRECT_URL"], os.environ, say)
    except DatabaseError as error:
        print(error, file=sys.stderr)
        return plans.MIGRATION_REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
