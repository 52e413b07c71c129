"""What is said of bodies that do not fit: the work for it follows their size, however they were made."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from api import body, openapi
from api.app import ROUTES
from domain import errors, facts

SIZE = 200_000
"""Of what is thrown here. Where the square of it were looked at, a test would take an hour, and nobody would wait for it."""
PUMPS = ["a", "A", "0", "é", " ", "\t", "\x1c", "\ufeff", "-", "_", ".", "@", ":", "/", "\x00", "a-", "a@", "A0", " a"]
ENDS = ["", "\x00", "\n", "@", "-", "!", "\x00a", "\n\n"]


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    """Something to be filled."""

    known: int = 0
    named: dict[str, int] = {}


def patterns(schema: Any) -> Iterator[str]:
    """All of a JSON Schema."""
    if isinstance(schema, dict):
        if isinstance(found := schema.get("pattern"), str):
            yield found
        for part in schema.values():
            yield from patterns(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from patterns(part)


SHAPES = (openapi.document(ROUTES), msgspec.json.schema_components(facts.PAYLOADS.values()))
PATTERNS = sorted(set(patterns(SHAPES)))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_pattern_looks_at_a_text_more_than_once(pattern: str) -> None:
    for pump in PUMPS:
        for end in ENDS:
            re.search(pattern, pump * (SIZE // len(pump)) + end)


def test_there_are_patterns() -> None:
    assert len(PATTERNS) > 8


@pytest.mark.parametrize("text", ["a\0", "\0a", " \0a", "\0", " ", "\n", "\x1c\ufeff", ""], ids=ascii)
def test_what_is_blank_or_holds_a_nul_is_no_name(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, facts.Item)


@pytest.mark.parametrize("text", ["a", " a ", "\na\n", "\ufeffa", "a b", "é\n"], ids=ascii)
def test_what_has_a_letter_is_one(text: str) -> None:
    assert msgspec.convert(text, facts.Item) == text


@pytest.mark.parametrize("name", [' - at `"' * (SIZE // 8) + "\n", "`" * SIZE, ".a" * SIZE, "[0]" * SIZE, "~/" * SIZE])
@pytest.mark.parametrize("shape", ["{{{0}: 1}}", '{{"named": {{{0}: "x"}}}}', '{{"known": {0}}}', "{0}"])
def test_of_a_name_no_more_is_repeated_than_is_read(name: str, shape: str) -> None:
    with pytest.raises(errors.Invalid) as raised:
        body.decode_bytes(shape.format(json.dumps(name)).encode(), Shape)
    [error] = raised.value.errors
    assert len(error.pointer) + len(error.detail) < 1_000


def pointer(text: str) -> str:
    with pytest.raises(errors.Invalid) as raised:
        body.decode_bytes(text.encode(), Shape)
    [error] = raised.value.errors
    return error.pointer


def test_what_does_not_fit_is_pointed_to() -> None:
    assert pointer('{"known": "x"}') == "/known"
    assert pointer('{"named": {"x": "y"}}') == "/named/..."
    assert pointer('{"other": 1}') == "/other"
    assert pointer('{"a/b": 1}') == "/a~1b"
    assert pointer("[]") == ""
