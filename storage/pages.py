"""Lists a page at a time, by a sort key and an id: what is inserted meanwhile moves nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Date, Row, Select, cast, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

Record = Row[*tuple[Any, ...]]
Place = tuple[Any, UUID]
"""Where a page ends: the sort key and the id of its last row."""


@dataclass(frozen=True)
class Page:
    """Up to `limit` rows behind `after`."""

    limit: int
    after: Place | None = None


@dataclass(frozen=True)
class Rows:
    """A page's rows; `next` is where the following page begins, None at the end."""

    rows: list[Record]
    next: Place | None


def cut(rows: Sequence[Record], page: Page, key: str, row_id: str = "id", *, found: int | None = None) -> Rows:
    """The page of `rows`, which are one more than its limit where another page follows; `key` and `row_id` name columns.

    `found`: how many there were, where the first of them are enough for an answer.
    """
    shown = list(rows[: page.limit])
    if len(shown) == (len(rows) if found is None else found):
        return Rows(shown, None)
    return Rows(shown, (getattr(shown[-1], key), getattr(shown[-1], row_id)))


async def read_page(
    connection: AsyncConnection,
    query: Select[*tuple[Any, ...]],
    key: ColumnElement[Any],
    row_id: ColumnElement[Any],
    page: Page,
    *,
    descending: bool = False,
    **parameters: Any,
) -> Rows:
    """The rows of `query` by (`key`, `row_id`) behind the page's place."""
    query = query.add_columns(key.label("page_key"))
    if page.after is not None:
        place = tuple_(
            cast(literal(page.after[0]), key.type) if isinstance(key.type, Date) else literal(page.after[0]), page.after[1]
        )
        query = query.where(tuple_(key, row_id) < place if descending else tuple_(key, row_id) > place)
    order = (key.desc(), row_id.desc()) if descending else (key, row_id)
    rows = (await connection.execute(query.order_by(*order).limit(page.limit + 1), parameters)).all()
    return cut(rows, page, "page_key")
