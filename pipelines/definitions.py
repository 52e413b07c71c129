"""The Dagster code location: everything that the modules under pipelines/defs define, with its resources."""

import warnings

import dagster as dg

from pipelines import dagster_logs
from pipelines import defs as package
from pipelines.defs import resources

dagster_logs.keep_no_texts()

# Dagster passes itself a beta parameter with every sensor: a warning in each log that an operator could do nothing about.
warnings.filterwarnings("ignore", "Parameter `owners` of initializer `SensorDefinition.__init__`", dg.BetaWarning)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.PreviewWarning)  # the stable loader wants a pyproject.toml, which a wheel does not have
    defs = dg.load_definitions_from_package_module(
        package,
        resources=resources.bound(),
        executor=dg.in_process_executor,  # a process per step would double what a run costs
    )
