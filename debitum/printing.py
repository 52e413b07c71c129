"""Rows on their way out: an aligned table for people, CSV and JSON for programs."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

Rows = Sequence[Sequence[object]]


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


def comma_separated(columns: Sequence[str], rows: Rows) -> str:
    """CSV with a line of names; null is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().rstrip("\n")


def as_json(columns: Sequence[str], rows: Rows) -> str:
    """A list of objects. Times and decimals are strings, so that no reader rounds them."""
    return json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str, ensure_ascii=False, indent=1)


FORMATS: Final[Mapping[str, Callable[[Sequence[str], Rows], str]]] = {"table": table, "csv": comma_separated, "json": as_json}


def _shown(value: object) -> str:
    text = "" if value is None else str(value)
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float, Decimal)) and not isinstance(value, bool))
