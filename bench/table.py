"""Puts the rows of bench/results into the table of bench/README.md: `python -m bench.table`, at the end of `make bench`."""

import datetime
from pathlib import Path
from typing import Final

import msgspec

from bench.harness import RESULTS, Row
from bench.reasons import REASONS

README: Final = Path(__file__).parent / "README.md"
ORDER: Final = (
    "append",
    "append_long",
    "reads",
    "reads_long",
    "growth",
    "growth_long",
    "cost",
    "cost_long",
    "balances_at_a_point",
    "search",
    "sync",
    "sync_long",
    "push",
    "push_long",
    "feel",
    "feel_long",
    "reminders",
    "reminders_long",
    "outbox",
    "outbox_long",
    "retention",
    "arrival",
    "arrival_long",
    "materialise",
    "materialise_long",
    "snapshots",
    "snapshots_long",
)
"""Of the questions; others follow by name."""
_HEAD: Final = "| row | median | range | unit | goal |\n|---|---|---|---|---|\n"


class Results(msgspec.Struct):
    """A file of results, as far as the table shows it; `taken` on that day."""

    rows: list[Row]
    taken: datetime.date


def table() -> str:
    """All rows, a Markdown table, by file and day; of a goal that is not reached it says why, where that is known."""
    known = {name: place for place, name in enumerate(ORDER)}
    files = sorted(RESULTS.glob("*.json"), key=lambda file: (known.get(file.stem, len(known)), file.stem))
    return _HEAD + "".join(_lines(file.stem, msgspec.json.decode(file.read_bytes(), type=Results)) for file in files)


def _lines(name: str, found: Results) -> str:
    return f"| **{name}**, {found.taken} |  |  |  |  |\n" + "".join(map(_line, found.rows))


def _line(row: Row) -> str:
    goal = "" if row.goal is None else f"{'≥' if row.better == 'more' else '≤'} {row.goal:g}"
    if not row.holds:
        goal += f" (not reached: {REASONS[row.name]})" if row.name in REASONS else " (not reached)"
    return f"| `{row.name}` | {row.value:.3g} | {row.low:.3g} … {row.high:.3g} | {row.unit} | {goal} |\n"


def main() -> None:
    """Write it."""
    text = README.read_text()
    start = text.index(_HEAD)
    end = text.index("\n\n", start) + 1
    README.write_text(text[:start] + table() + text[end:])


if __name__ == "__main__":
    main()
