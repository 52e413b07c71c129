"""What Dagster keeps and prints: failures without the texts of exceptions, and all that it says as lines of our log.

Dagster keeps exceptions whole: the text of one that Postgres raised, with the row in it, would stand in Dagster's tables, on its
pages and in its logs. It has a switch against that (DAGSTER_REDACT_USER_CODE_ERRORS), which takes types and frames away too and
leaves operators a number. Each function replaces one function of Dagster's; tests/test_logs.py and tests/test_compose.py fail
where that no longer works.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import uvicorn.config
from dagster._core import errors
from dagster._core.execution import context_creation_job
from dagster._utils import log as dagsters_log
from dagster_shared.error import SerializableErrorInfo

from telemetry import exceptions


def _family(kind: type[BaseException]) -> Iterator[str]:
    yield exceptions.name(kind)
    for child in kind.__subclasses__():
        yield from _family(child)


TELL_NO_VALUES = {
    *_family(errors.DagsterUserCodeExecutionError),
    *_family(errors.DagsterExecutionInterruptedError),
    *_family(errors.DagsterUserCodeProcessError),
    *_family(errors.DagsterUserCodeUnreachableError),
    exceptions.name(dg.Failure),
    "storage.snapshots.files.Damaged",  # by its name: with DuckDB, Dagster's pages and its daemon would take 30 MiB more
    *(f"storage.snapshots.progress.{name}" for name in ("CannotTell", "NotBegun", "Unsettled")),
} - {*_family(errors.DagsterTypeCheckError)}
"""Say which step, resource, sensor or process it was, and what another process has told without texts before. The
last ones are our own and are written for operators: they name days and files, and nothing that anybody entered."""


def keep_no_texts() -> None:
    """From now on this process gives Dagster types and frames of exceptions, and of texts only Dagster's own."""
    SerializableErrorInfo.from_traceback = _without_text  # type: ignore[method-assign, assignment]  # a class method, and a function


def print_into_the_log() -> None:
    """What happens in a run goes to the process's log like everything else, not to standard error in Dagster's own way."""
    context_creation_job.default_system_loggers = _only_ours  # type: ignore[attr-defined, assignment]  # imported there


def leave_the_log_to_us() -> None:
    """From now on Dagster's programs set up no handlers of their own. Before they are imported: they take the function along."""
    dagsters_log.configure_loggers = _configure_nothing
    uvicorn.config.LOGGING_CONFIG.clear()
    uvicorn.config.LOGGING_CONFIG.update(version=1, disable_existing_loggers=False)


def _configure_nothing(*_: object, **__: object) -> None:
    pass


def _without_text(trace: traceback.TracebackException) -> SerializableErrorInfo:
    kind = _type(trace)
    context = None if trace.__suppress_context__ else trace.__context__
    return SerializableErrorInfo(
        message="".join(trace.format_exception_only()) if kind in TELL_NO_VALUES else f"{kind}\n",
        stack=trace.stack.format(),
        cls_name=kind.rpartition(".")[2],
        cause=_without_text(trace.__cause__) if trace.__cause__ else None,
        context=_without_text(context) if context else None,
    )


def _type(trace: traceback.TracebackException) -> str:
    if sys.version_info >= (3, 13):
        return trace.exc_type_str
    return exceptions.name(trace.exc_type or Exception)


def _process_log(_: dg.InitLoggerContext) -> logging.Logger:
    """Its lines have the level that DEBITUM_LOG_LEVEL gives to `dagster`."""
    return logging.getLogger("dagster.run")


def _only_ours(_: dg.DagsterInstance | None) -> Sequence[tuple[dg.LoggerDefinition, Mapping[str, object]]]:
    return [(dg.LoggerDefinition(_process_log), {})]
