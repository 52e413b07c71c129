"""Where the runbook says what to do: a section of docs/operations.md for each check, and for jobs that want one."""

from typing import Final

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


def described(check: str, what: str) -> str:
    """The description of a check, with where it says what to do: of a check's own metadata Dagster's pages show nothing."""
    return f"{what}\n\nWhat to do where it fails: {of_check(check)}"
