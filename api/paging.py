"""Lists: {"items": […], "next_cursor": …}; a cursor is opaque to clients and remembers where its page ended."""

import base64
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from domain import errors, money
from storage.pages import Page, Place

Item = TypeVar("Item")
MAX_LIMIT = 200
Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]
DEFAULT_LIMIT = 50
Cursor = Annotated[str, Meta(min_length=1, max_length=2_000, pattern=r"^[A-Za-z0-9_=-]*$(?!\n)")]
"""Where a page ended, as base64; only what an Order made is one."""
Number = Annotated[int, Meta(ge=-money.MAX_AMOUNT, le=money.MAX_AMOUNT)]
"""A sort key that is a seq or an amount."""


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A page of a list that has no filters."""

    limit: Limit = DEFAULT_LIMIT
    cursor: Cursor | None = None


class Items(Struct, Generic[Item], frozen=True):
    """A page of a list."""

    items: list[Item]
    next_cursor: str | None = None


@dataclass(frozen=True)
class Order:
    """A list in one of its orders: `name` says which, `key` is the type of its sort key.

    A cursor bears the name: a place of another order could look like the end of this one, and a client would believe that it
    has everything.
    """

    name: str
    key: Any

    def page(self, limit: int, cursor: str | None) -> Page:
        """The page that `cursor` points to. Raises errors.Invalid."""
        if cursor is None:
            return Page(limit)
        try:
            name, key, row_id = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[str, Any, UUID])
            if name != self.name:
                raise ValueError("it is of another list, or of this one in another order")
            if "\x00" in str(key):
                raise ValueError("no text of ours has a NUL")
            return Page(limit, (msgspec.convert(key, self.key), row_id))
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise errors.Invalid.at("/cursor", "not a cursor", whole="the cursor is not from this list") from error

    def cursor(self, place: Place | None) -> str | None:
        """The cursor of the page that begins behind `place`."""
        return None if place is None else base64.urlsafe_b64encode(msgspec.json.encode((self.name, *place))).decode()
