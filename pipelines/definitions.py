"""The Dagster code location: everything that the modules under pipelines/defs define, with its resources."""

import warnings

import dagster as dg

from pipelines import defs as package
from pipelines.defs import resources

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.PreviewWarning)  # the stable loader wants a pyproject.toml, which a wheel does not have
    defs = dg.load_definitions_from_package_module(
        package,
        resources=resources.bound(),
        executor=dg.in_process_executor,  # a process per step would double what a run costs
    )
