"""`python -m pipelines code-server | webserver | daemon | worker …`: Dagster's programs, which write their log as we do.

What follows the name is passed on to Dagster's own command.
"""

import gc
import os
import sys
from pathlib import Path

from pipelines import dagster_logs, garbage
from telemetry import output

# Dagster takes Alembic along, and that, to colour its templates, 5 MiB of pygments. For Python, None is not installed.
sys.modules["pygments"] = None  # type: ignore[assignment]


def main() -> None:
    """Ends the process, as Dagster's command does. The log comes first: what is imported may have something to say."""
    gc.disable()  # until all is loaded: to look through it again and again takes a fifth of loading it
    name, *arguments = sys.argv[1:]
    output.configure(output.Choice.from_environment(os.environ))
    dagster_logs.leave_the_log_to_us()
    dagster_logs.keep_no_texts()
    if name == "code-server":
        from dagster._cli.api import grpc_command as command
        from dagster._grpc.server import DagsterGrpcServer

        from pipelines import engines, forks

        forks.preload()
        engines.share()
        garbage.collect_soon(DagsterGrpcServer, "serve")
    elif name == "webserver":
        from dagster_webserver import cli
        from dagster_webserver.cli import dagster_webserver as command

        from pipelines import own_pages

        made = "create_app_from_workspace_process_context"
        setattr(cli, made, own_pages.guarded(getattr(cli, made)))
        gc.enable()
    elif name == "daemon":
        from dagster._daemon.cli import run_command as command
        from dagster._daemon.controller import DagsterDaemonController

        from pipelines import engines

        engines.share()
        garbage.collect_soon(DagsterDaemonController, "check_daemon_loop")
    elif name == "worker":
        from pipelines import on_celery

        gc.enable()
        return on_celery.work(Path(*arguments))
    else:
        sys.exit(f"{name!r} is none of code-server, webserver, daemon, worker")
    command.main(arguments, prog_name=f"dagster {name}")


if __name__ == "__main__":
    main()
