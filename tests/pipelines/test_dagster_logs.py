"""What Dagster is given of an exception, wherever it keeps or shows one: runs, ticks of sensors, loading."""

import sys

import dagster as dg
import pytest
from dagster._core.errors import DagsterTypeCheckError, SensorExecutionError
from dagster._utils.error import serializable_error_info_from_exc_info

from pipelines import definitions
from storage.snapshots import files, progress

assert definitions.defs  # loading them is what makes it so
SECRET = "hunter2"


def raised_by_a_tick(outer: type[Exception], text: str) -> str:
    """The whole of what Dagster makes of it, with its cause and what was going on."""
    try:
        try:
            try:
                int(SECRET)
            finally:
                raise LookupError(SECRET)
        except LookupError as error:
            if issubclass(outer, SensorExecutionError | DagsterTypeCheckError):
                raise outer(text, user_exception=error, original_exc_info=sys.exc_info()) from error
            raise outer(text) from error
    except outer:
        exc_info = sys.exc_info()
        assert exc_info[0] is not None
        return serializable_error_info_from_exc_info(exc_info).to_string()


def test_texts_of_dagster_itself_stay_and_those_of_exceptions_go() -> None:
    told = raised_by_a_tick(SensorExecutionError, "Error occurred during the execution of evaluation_fn for sensor x")
    assert SECRET not in told
    assert "SensorExecutionError: Error occurred during the execution of evaluation_fn for sensor x\n" in told
    assert "\nLookupError\n" in told
    assert "\nValueError\n" in told
    assert told.count("in raised_by_a_tick\n") == 3


def test_what_an_asset_says_of_its_failure_stays_and_what_caused_it_goes() -> None:
    """The pages show it nowhere else: of a Failure they leave the description out."""
    told = raised_by_a_tick(dg.Failure, "no backup was made: the disk is full")
    assert SECRET not in told
    assert told.startswith("dagster._core.definitions.events.Failure: no backup was made: the disk is full\n")


@pytest.mark.parametrize("kind", [files.Damaged, progress.CannotTell, progress.NotBegun, progress.Unsettled])
def test_the_runbook_s_errors_say_which_day_or_file(kind: type[Exception]) -> None:
    assert f".{kind.__name__}: of day=2026-03-02\n" in raised_by_a_tick(kind, "of day=2026-03-02")


def test_of_what_tells_values_only_the_type_stays() -> None:
    for kind in (RuntimeError, DagsterTypeCheckError):
        told = raised_by_a_tick(kind, f"the value was {SECRET}")
        assert SECRET not in told
        assert told.startswith(kind.__name__ if kind is RuntimeError else "dagster._core.errors.DagsterTypeCheckError\n")
