"""A program of its own, for Dagster is big: brings Dagster's tables to the revision of the Dagster that is installed."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from debitum import folders
from telemetry import output

IN_USE: Final = 75
"""The exit code where a table was in use for too long (EX_TEMPFAIL)."""
_LOCK_NOT_AVAILABLE: Final = "55P03"


def main() -> int:
    """As `dagster instance migrate` does it, in a home that nobody else has; returns the exit code."""
    from dagster import DagsterInstance
    from sqlalchemy.exc import OperationalError

    with tempfile.TemporaryDirectory(prefix="debitum-dagster-") as made:
        (Path(made) / "dagster").mkdir()
        os.environ["DAGSTER_HOME"] = str(folders.dagster_home(Path(made)))
        try:
            with DagsterInstance.get() as instance:
                instance.upgrade()
        except OperationalError as error:
            if getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE:
                return IN_USE
            raise
    return 0


if __name__ == "__main__":
    output.configure(output.Choice.from_environment(os.environ))
    sys.exit(main())
