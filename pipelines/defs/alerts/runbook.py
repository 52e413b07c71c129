"""Where the runbook says what to do: a section of docs/operations.md for each check, and for jobs that want one."""

from collections.abc import Mapping
from typing import Final

import dagster as dg

PAGE: Final = "docs/operations.md"
RUN_FAILED: Final = "a-run-failed"
JOBS: Final = frozenset({"audit", "erasure", "finish_snapshots"})
"""Jobs whose failures have a section of their own."""


def of_job(name: str) -> str:
    """What to do when a run of this job failed."""
    return f"{PAGE}#{name if name in JOBS else RUN_FAILED}"


def of_check(name: str) -> str:
    """What to do when this check failed."""
    return f"{PAGE}#{name}"


def metadata(check: str) -> Mapping[str, dg.MetadataValue]:
    """The same, as Dagster shows it beside the check."""
    return {"runbook": dg.MetadataValue.text(of_check(check))}
