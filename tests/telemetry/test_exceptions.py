"""What is told of an exception, and what is not."""

import errno
import sys
import traceback
from typing import Any

import pytest
from dagster._core.errors import DagsterUserCodeProcessError
from dagster._utils.error import serializable_error_info_from_exc_info
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from domain import errors
from telemetry import exceptions

SECRET = "hunter2"


def caught(raising: Any) -> BaseException:
    try:
        raising()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def fail(error: BaseException, cause: BaseException | None = None) -> None:
    password = SECRET  # a local variable
    assert password
    raise error from cause


def test_types_codes_and_frames_are_told_and_texts_and_variables_are_not() -> None:
    def outer() -> None:
        fail(errors.Invalid(SECRET), OSError(errno.EACCES, SECRET, SECRET))

    error = caught(outer)
    error.add_note(SECRET)
    refused, denied = found = exceptions.describe(error)
    assert (refused["type"], refused["code"]) == ("domain.errors.Invalid", "invalid")
    assert [frame.rpartition(" ")[2].rpartition(".")[2] for frame in refused["frames"]] == ["caught", "outer", "fail"]
    assert (denied["type"], denied["reason"], denied["frames"]) == ("PermissionError", "Permission denied", [])
    assert SECRET not in repr(found) + exceptions.text(found)


def test_groups_are_told_member_by_member() -> None:
    error = caught(lambda: fail(ExceptionGroup(SECRET, [ValueError(SECRET), KeyError(SECRET)])))
    [found] = exceptions.describe(error)
    assert [chain[0]["type"] for chain in found["group"]] == ["ValueError", "KeyError"]
    assert exceptions.text([found]).splitlines()[-2:] == ["  | ValueError", "  | KeyError"]
    assert SECRET not in repr(found)


def test_what_another_process_of_dagsters_raised_is_told_by_its_types() -> None:
    try:
        raise ValueError("hunter2")
    except ValueError:
        told = serializable_error_info_from_exc_info(sys.exc_info())
    described = exceptions.describe(
        DagsterUserCodeProcessError.from_error_info(told._replace(cls_name="SensorError", cause=told))
    )
    assert described[0]["elsewhere"] == ["SensorError", "ValueError"]
    assert "hunter2" not in str(described)


def test_what_has_no_end_is_cut() -> None:
    def down() -> None:
        down()

    error = caught(down)
    [found] = exceptions.describe(error)
    left_out, *frames = found["frames"]
    assert exceptions.MOST_CHARACTERS - 100 < sum(map(len, frames)) <= exceptions.MOST_CHARACTERS
    assert left_out == f"({len(traceback.extract_tb(error.__traceback__)) - len(frames)} more)"
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert [link["type"] for link in exceptions.describe(first)] == ["ValueError", "KeyError"]


def test_a_code_that_is_not_one_is_left_out() -> None:
    error = ValueError()
    error.sqlstate = f"it is {SECRET}"  # type: ignore[attr-defined]  # as a library might
    assert exceptions.describe(error) == [{"type": "ValueError", "frames": []}]


def test_an_engine_keeps_parameters_out_of_its_exceptions(database: Engine) -> None:
    with pytest.raises(ProgrammingError) as raised, database.connect() as connection:
        connection.execute(text("select no_such_column, :secret"), {"secret": SECRET})
    assert SECRET not in str(raised.value)
