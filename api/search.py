"""Search over names, usernames, notes, items and descriptions."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from api import paging
from api.paging import Items
from api.routing import Call, Reply, Routes
from domain import words
from storage import search
from storage.pages import Record

routes = Routes("search")
_ORDER = paging.Order("search", paging.Number)
TITLE_CHARACTERS, SNIPPET_CHARACTERS = 80, 120


class SearchQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Words; each has to be the beginning of one that is there."""

    q: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
    limit: paging.Limit = paging.DEFAULT_LIMIT
    cursor: paging.Cursor | None = None


class Found(Struct, frozen=True):
    """A contact, or a transaction by what it is about; `snippet` is the place that fits, as plain text."""

    kind: Literal["contact", "transaction"]
    id: UUID
    title: str
    snippet: str
    score: float


@routes.add("GET", "/api/search", answer=Items[Found], query=SearchQuery)
async def search_(call: Call[None, SearchQuery]) -> Reply:
    """Contacts and transactions, the best first, whatever the case and the accents."""
    page = _ORDER.page(call.query.limit, call.query.cursor)
    async with call.reading() as connection:
        found = await search.ranked(connection, call.caller.ledger_id, call.query.q, page)
    asked = words.query(call.query.q)
    return Reply(Items([_found(row, asked) for row in found.rows], _ORDER.cursor(found.next)))


def _found(row: Record, asked: list[str]) -> Found:
    title = row.name or row.item or row.description or ""
    texts = [text for text in (row.name, row.username, row.item, row.description, row.notes) if text]
    snippets = (words.passage(text, asked, SNIPPET_CHARACTERS) for text in texts)
    snippet = next((one for one in snippets if one is not None), title[:SNIPPET_CHARACTERS])
    return Found(row.kind, row.id, _shortened(title), snippet, row.score / 1_000_000)


def _shortened(title: str) -> str:
    one_line = " ".join(title.split())
    return one_line if len(one_line) <= TITLE_CHARACTERS else f"{one_line[: TITLE_CHARACTERS - 1]}…"
