"""What a table of the snapshots is: its columns, the rows that a day adds, and how a day is made of the one before it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PROVISIONAL: Final = "provisional"
"""The column, and the mark in a file's footer, of a day that was still running."""
SCHEMA_VERSION: Final = "schema_version"
SNAPSHOTS: Final = "snapshots"
"""What analysts read."""
COPY: Final = "audit"
"""A copy of the log, whole: nobody's but the audit's."""
FOLDERS: Final = (SNAPSHOTS, COPY)


@dataclass(frozen=True)
class Column:
    """`kind` is DuckDB's type; `means` is for whoever reads the dictionary."""

    kind: str
    means: str


def kinds(columns: Mapping[str, Column]) -> dict[str, str]:
    """DuckDB's types of columns, by name."""
    return {name: column.kind for name, column in columns.items()}


class Growth(enum.Enum):
    """What a day is made of beside its own rows."""

    NONE = enum.auto()
    """Nothing."""
    SUM = enum.auto()
    """Yesterday's file; where there is none, all rows up to the day's end give the same."""
    STEPS = enum.auto()
    """Yesterday's file, and those of all days before it, which are made first where they are missing."""


@dataclass(frozen=True)
class Table:
    """A table of which every UTC day has a file.

    `day_rows` selects in Postgres what was recorded from %(start)s to before %(end)s. `version` rises with every change of the
    columns, or of what they mean: a file of another version is written anew, and never built upon.
    """

    name: str
    means: str
    columns: dict[str, Column]
    keys: tuple[str, ...]
    """By which the rows are sorted; no two have the same."""
    day_rows: str
    counted_by: str
    """The column whose values an operator sees counted: never an id."""
    fold: tuple[str, ...] = ()
    """Statements of DuckDB that leave the day as `today`, made of `taken` (the day's rows), `yesterday` (columns of the
    table, without rows where the day is made of nothing else), of STEPS also `earlier` (the same and `day`, of every day before),
    and the variable `day`. Empty: the day's rows are the day."""
    looks_up: str | None = None
    """A statement of DuckDB: about how many rows of `earlier` the fold looks at."""
    day_columns: Mapping[str, str] | None = None
    """Names and types of what `day_rows` selects; None: `taken_columns`."""
    growth: Growth = Growth.NONE
    beside: "Table | None" = None
    """A table whose file of the same day the fold reads, as a view by its name."""
    last: str | None = None
    """A boolean column: rows where it is true come after all others, so that whoever does not want them does not read them."""
    keeps: bool = False
    """Whether a day that is final stays as it is: Postgres forgets these rows, and a second look may find fewer. So a damaged
    file is not replaced either, until somebody has removed it."""
    version: int = 1
    folder: str = SNAPSHOTS
    """The one of FOLDERS that it lies in."""

    @property
    def taken_columns(self) -> dict[str, str]:
        """The columns without those that every file has, with their types."""
        return {name: kind for name, kind in kinds(self.columns).items() if name not in COMMON}


COMMON: Final = {
    PROVISIONAL: Column("BOOLEAN", "the day was still running when this was written"),
    SCHEMA_VERSION: Column("INTEGER", "version of these columns"),
}
"""The last columns of every file."""
LEDGER: Final = Column("VARCHAR", "whose ledger: a pseudonym, no name stands behind it here")
CONTACT: Final = Column(
    "VARCHAR", "who owes or is owed: a pseudonym, which two ledgers may share: a person is (ledger_id, contact_id)"
)
TRANSACTION: Final = Column("VARCHAR", "the debt or repayment: a pseudonym too")
CURRENCY: Final = Column("VARCHAR", "ISO 4217 code; amounts of different currencies never add up")
DAY: Final = Column("DATE", "the UTC day (the name of the folder)")

VALUE: Final = "DECIMAL(24,4)"
VALUED: Final = {
    "amount": ("value", Column(VALUE, "the amount in the currency's own unit: 12.5000 for 1250 cents")),
    "old_amount": ("old_value", Column(VALUE, "the old amount in the currency's own unit")),
    "new_amount": ("new_value", Column(VALUE, "the new amount in the currency's own unit")),
    "open_amount": ("open_value", Column(VALUE, "the open amount in the currency's own unit")),
}
"""What a view adds, by the column that it follows."""
