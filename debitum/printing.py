"""Rows on their way out: an aligned table for people, CSV and JSON for programs."""

import csv
import io
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

Rows = Sequence[Sequence[object]]


class SameName(Exception):
    """Two columns have the same name; the text says which."""


def table(columns: Sequence[str], rows: Rows) -> str:
    """Plain text, numbers to the right; never cut to the width of a terminal. Nothing in a cell starts a new line."""
    cells = [[_shown(value) for value in row] for row in rows]
    widths = [max(len(line[place]) for line in (list(columns), *cells)) for place in range(len(columns))]
    numeric = [all(_is_number(row[place]) for row in rows) and bool(rows) for place in range(len(columns))]

    def line(texts: Sequence[str]) -> str:
        aligned = (
            text.rjust(width) if right else text.ljust(width) for text, width, right in zip(texts, widths, numeric, strict=True)
        )
        return "  ".join(aligned).rstrip()

    count = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
    return "\n".join((line(columns), "  ".join("-" * width for width in widths), *map(line, cells), count))


def comma_separated(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """CSV with a line of names; null is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for line in itertools.chain([columns], rows):
        writer.writerow(line)
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def as_json(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A list of objects. Times and decimals are strings, so that no reader rounds them; what is no finite number is null.

    Raises SameName where an object would lose a column.
    """
    if len(set(columns)) < len(columns):
        raise SameName(f"{max(columns, key=columns.count)!r} is the name of more than one column: say `as` of one")
    before = "[\n "
    for row in rows:
        yield before + json.dumps(_finite(dict(zip(columns, row, strict=True))), default=str, ensure_ascii=False)
        before = ",\n "
    yield "[]\n" if before.startswith("[") else "\n]\n"


def _finite(value: object) -> object:
    """The same without what JSON has no word for."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list() | tuple():
            return [_finite(one) for one in value]
        case dict():
            return {str(name): _finite(one) for name, one in value.items()}
    return value


def aligned(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """`table`, which needs all rows at once."""
    yield f"{table(columns, list(rows))}\n"


FORMATS: Final[Mapping[str, Callable[[Sequence[str], Iterable[Sequence[object]]], Iterator[str]]]] = {
    "table": aligned,
    "csv": comma_separated,
    "json": as_json,
}


def _shown(value: object) -> str:
    text = "" if value is None else str(value)
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float, Decimal)) and not isinstance(value, bool))
