"""The code server's watch over the processes of its runs, which goes on when Postgres has been away."""

import structlog
from dagster._grpc.server import DagsterApiServer

_log = structlog.get_logger(__name__)
_look = DagsterApiServer._check_for_orphaned_runs


def keep_looking() -> None:
    """From now on a look that fails is only followed by the next one, half a second later.

    Dagster's own watch ends with its first look that fails. Whatever run is killed from then on is believed to run, and takes
    the place of others, until its longest runtime is over: hours, for snapshots.
    """
    DagsterApiServer._check_for_orphaned_runs = _look_again  # type: ignore[method-assign, assignment]  # a method, and a function


def _look_again(server: DagsterApiServer) -> None:
    try:
        _look(server)
    except Exception as error:  # whatever it was, the next look must come
        _log.warning("run_processes_not_looked_at", error=type(error).__name__)
