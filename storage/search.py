"""Search in the words of one ledger: each word that is asked for is the beginning of one that is there.

No index: under row-level security Postgres may not use one for `@@`, which could say something of rows that are hidden. The
rows of one ledger are found by its key and filtered; bench/search.py measures what that costs.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, ColumnElement, Integer, Text, Uuid, bindparam, cast, false, literal, text
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from domain import words
from storage.pages import Page, Rows, cut


def matches(column: Column[Any], asked: str) -> ColumnElement[bool]:
    """Whether the words in `column` have every word of `asked` as a beginning; words are letters and digits only."""
    found = words.query(asked)
    return column.bool_op("@@")(cast(literal(_all(found), Text), TSQUERY)) if found else false()


async def ranked(connection: AsyncConnection, ledger_id: UUID, asked: str, page: Page) -> Rows:
    """A page of live contacts and transactions, the best first: kind, id, name, username, notes, item, description, score.

    `score` is in millionths, and the page's key: what is found in names and items counts most, whole words more than beginnings.
    """
    found = words.query(asked)
    if not found:
        return Rows([], None)
    score, row_id = page.after or (None, None)
    bound = {"ledger": ledger_id, "all": _all(found), "whole": " | ".join(f"'{word}'" for word in found)}
    rows = await connection.execute(_RANKED, bound | {"score": score, "id": row_id, "limit": page.limit + 1})
    return cut(rows.all(), page, "score")


def _all(found: list[str]) -> str:
    return " & ".join(f"'{word}':*" for word in found)


_RANKED = text("""
    with asked as materialized (select cast(:all as tsquery) as beginnings, cast(:whole as tsquery) as wholes),
    found as (
        select 'contact' as kind, id, name, username, notes, null as item, null as description, words
        from debitum.contacts, asked where ledger_id = :ledger and deleted_seq is null and words @@ beginnings
        union all
        select 'transaction', id, null, null, null, item, description, words
        from debitum.transactions, asked where ledger_id = :ledger and deleted_seq is null and words @@ beginnings
    ), scored as (
        select found.*, (1000000 * (ts_rank(words, beginnings) + ts_rank(words, wholes)))::bigint as score from found, asked
    )
    select * from scored where :score is null or (score, id) < (:score, :id) order by score desc, id desc limit :limit
""").bindparams(
    bindparam("ledger", type_=Uuid),
    bindparam("score", type_=BigInteger),
    bindparam("id", type_=Uuid),
    bindparam("limit", type_=Integer),
)
