"""The code location as Dagster's processes load it, the code server and every run: their log first, then the definitions."""

import os

from pipelines import dagster_logs, watch
from telemetry import output

output.configure(output.Choice.from_environment(os.environ))
dagster_logs.print_into_the_log()
watch.keep_looking()

from pipelines.definitions import defs  # noqa: E402 (what it warns of is a line of the log already)

__all__ = ["defs"]
