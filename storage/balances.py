"""Balances: materialised from the postings of the ledgers that changed, compared with them, read with their tail."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Connection, Row, Text, TextualSelect, Uuid, bindparam, text

from storage import buckets
from storage.buckets import Bucket
from storage.engine import Begin

CHUNK_LEDGERS: Final = 500
"""Ledgers a transaction: enough to make the round trips cheap, few enough to hold the marks for milliseconds."""
NEW_LEDGERS: Final = 10_000
"""From so many ledgers on that have no balances yet, as after a rebuild, postings are read once in the order of the table."""
STRIDE_LEDGERS: Final = 100_000
"""Ledgers a transaction where they are: each reads all postings and locks the marks for seconds; only an erasure waits for it."""
EXACT_COUNT_ROWS: Final = 100_000
"""Up to here rows are counted; beyond it the planner's estimate does, so that a run never costs what exists."""
_FIRST: Final = UUID(int=0)
_LAST: Final = UUID(int=2**128 - 1)


@dataclass
class Materialised:
    """What a run did: `rows` balances written or removed in `ledgers` ledgers, so many of each currency."""

    ledgers: int = 0
    rows: int = 0
    chunks: int = 0
    covered: int = 0
    """Facts that balances cover now and did not before."""
    currencies: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Difference:
    """A balance that is not the sum of its postings, both in minor units; a missing row counts as 0."""

    ledger_id: UUID
    contact_id: UUID
    currency: str
    materialised: int
    posted: int


# --- materialise ----------------------------------------------------------------------------------------------------


def any_dirty(connection: Connection) -> bool:
    """Whether some ledger has facts that balances do not cover."""
    return bool(connection.scalar(_ANY_DIRTY))


def materialise(
    begin: Begin,
    bucket: Bucket = buckets.EVERY_LEDGER,
    *,
    chunk_ledgers: int = CHUNK_LEDGERS,
    new_ledgers: int = NEW_LEDGERS,
    stride_ledgers: int = STRIDE_LEDGERS,
) -> Materialised:
    """Bring the balances of every ledger of `bucket` that was dirty to its head, in one short transaction a chunk.

    Safe to kill at any point and to run twice at once: a chunk's marks are locked before they are read, so a posting is
    added by exactly one run. What arrives behind the chunk stays dirty and is the next run's. Where `new_ledgers` or more
    have no balances yet, these come first, `stride_ledgers` a transaction.
    """
    done, is_part = Materialised(), bucket.is_part
    with begin() as connection:
        are_many = connection.scalar(_ARE_MANY_NEW[is_part], {"before": new_ledgers - 1, **bucket.binds()})
    if are_many:
        _chunks(begin, _NEW[is_part], {"limit": stride_ledgers, **bucket.binds()}, partial(_cover_new, bucket), done)
    _chunks(begin, _DIRTY[is_part], {"limit": chunk_ledgers, **bucket.binds()}, _cover, done)
    return done


def _chunks(
    begin: Begin,
    which: TextualSelect,
    binds: Mapping[str, int],
    cover: Callable[[Connection, Sequence[UUID], Materialised], None],
    done: Materialised,
) -> None:
    """Cover `which` in id order, and then take the flags of those that are covered, each in a transaction of its own."""
    after = _FIRST
    while True:
        with begin() as connection:
            chunk = connection.scalars(which, {"after": after, **binds}).all()
            if chunk:
                cover(connection, chunk, done)
        if not chunk:
            return
        with begin() as connection:
            connection.execute(_CLEAN, {"ledgers": chunk})
        after = chunk[-1]


def rebuild(connection: Connection, ledger_id: UUID) -> int:
    """Throw away one ledger's balances and sum its postings from the first; the number of rows that it has now."""
    _lock(connection, [ledger_id])
    connection.execute(_FORGET_ROWS, {"ledger": ledger_id})
    connection.execute(_FORGET_MARK, {"ledger": ledger_id})
    done = Materialised()
    _cover(connection, [ledger_id], done)
    return done.rows


def _cover(connection: Connection, ledgers: Sequence[UUID], done: Materialised) -> None:
    """Add each ledger's tail to its balances, and to `done` what that was: Postgres counts, no row has to travel."""
    _lock(connection, ledgers)
    _count(connection.execute(_ADD_TAIL, {"ledgers": ledgers}), done)


def _cover_new(bucket: Bucket, connection: Connection, ledgers: Sequence[UUID], done: Materialised) -> None:
    """The same of the bucket's next ledgers in id order that have no mark, or had none when they were chosen."""
    connection.execute(_MUCH_MEMORY)
    stride = {"first": ledgers[0], "last": ledgers[-1], "ledgers": ledgers, **bucket.binds()}
    _count(connection.execute(_SUM_ALL[bucket.is_part], stride), done)


def _count(rows: Iterable[Row[*tuple[Any, ...]]], done: Materialised) -> None:
    done.chunks += 1
    for row in rows:
        if row.currency is None:
            done.ledgers, done.covered = done.ledgers + row.rows, done.covered + row.covered
        else:
            done.rows += row.rows
            done.currencies[row.currency] += row.rows


def _lock(connection: Connection, ledgers: Sequence[UUID]) -> None:
    """Hold the marks. Each statement has its own, younger snapshot: whoever waited sees what the other run has covered."""
    connection.execute(_MAKE_MARKS, {"ledgers": ledgers})
    connection.execute(_LOCK_MARKS, {"ledgers": ledgers})


_ANY_DIRTY = text("select exists (select from debitum.ledgers where dirty)")

_DIRTY = buckets.split(
    "select id from debitum.ledgers where dirty and id > :after and {of_bucket} order by id limit :limit", id=Uuid
)

_MAKE_MARKS = text("""
    insert into debitum.projection_marks (ledger_id, covered_seq, materialized_at)
    select id, 0, now() from debitum.ledgers
    where id = any(:ledgers) and not exists (select from debitum.projection_marks mark where mark.ledger_id = ledgers.id)
    order by id
    for key share
    on conflict (ledger_id) do nothing
""")
"""The lock, which no writer waits for: a ledger that is being erased at this moment gets no mark that would outlive it."""

_LOCK_MARKS = text("select from debitum.projection_marks where ledger_id = any(:ledgers) order by ledger_id for update")
"""In id order, as the insert before it: two runs never wait for each other in a circle."""

_ADD_TAIL = text("""
    with head as materialized (
        select ledger.id as ledger_id, mark.covered_seq, ledger.version
        from debitum.ledgers ledger join debitum.projection_marks mark on mark.ledger_id = ledger.id
        where ledger.id = any(:ledgers) and mark.ledger_id = any(:ledgers) and ledger.version > mark.covered_seq
    ), tail as (
        select ledger_id, contact_id, currency, sum(posting.amount) as amount
        from head
        cross join lateral (
            select contact_id, currency, amount from debitum.postings
            where postings.ledger_id = head.ledger_id and seq > head.covered_seq and seq <= head.version
        ) posting
        group by ledger_id, contact_id, currency
        having sum(posting.amount) <> 0
    ), sums as materialized (
        select ledger_id, contact_id, currency, (tail.amount + coalesce(balance.amount, 0))::bigint as amount
        from tail
        left join lateral (
            select amount from debitum.balances
            where balances.ledger_id = tail.ledger_id and balances.contact_id = tail.contact_id
              and balances.currency = tail.currency
            limit 1
        ) balance on true
    ), settled as (
        delete from debitum.balances using sums
        where balances.ledger_id = sums.ledger_id and balances.contact_id = sums.contact_id
          and balances.currency = sums.currency and sums.amount = 0
    ), written as (
        insert into debitum.balances (ledger_id, contact_id, currency, amount)
        select ledger_id, contact_id, currency, amount from sums where amount <> 0
        on conflict (ledger_id, contact_id, currency) do update set amount = excluded.amount
    ), marked as (
        update debitum.projection_marks mark set covered_seq = head.version, materialized_at = now()
        from head where mark.ledger_id = head.ledger_id and mark.ledger_id = any(:ledgers)
        returning mark.ledger_id, head.version - head.covered_seq as covered
    )
    select currency, count(*) as rows, 0::bigint as covered from sums group by currency
    union all
    select null, count(*), coalesce(sum(covered), 0)::bigint from marked
""").columns(currency=Text, rows=BigInteger, covered=BigInteger)
"""A balance that becomes 0 loses its row: what is settled costs nothing, here, in the API's answer and in the check.

`limit 1`, and the ledgers named twice: a chunk looks its balances and marks up by their keys, and never reads the tables whole.
"""

_NEW_LEDGERS: Final = """
    select id from debitum.ledgers ledger
    where dirty and {of_bucket} and not exists (select from debitum.projection_marks mark where mark.ledger_id = ledger.id)
"""
_NEW = buckets.split(f"{_NEW_LEDGERS} and id > :after order by id limit :limit", id=Uuid)
_ARE_MANY_NEW = buckets.split(f"select exists ({_NEW_LEDGERS} offset :before) as are_many", are_many=Boolean)

_MUCH_MEMORY = text("set local work_mem = '64MB'")
"""Sums of a stride, which would otherwise be written to the disk in between."""

_SUM_ALL = buckets.split(
    """
    with head as materialized (
        select id, version from debitum.ledgers ledger
        where id = any(:ledgers) and version > 0
          and not exists (select from debitum.projection_marks mark where mark.ledger_id = ledger.id)
    ), kept as materialized (
        select id from debitum.ledgers where id = any(:ledgers) order by id for key share
    ), marked as (
        insert into debitum.projection_marks (ledger_id, covered_seq, materialized_at)
        select id, version, now() from head join kept using (id) order by id
        on conflict (ledger_id) do nothing
        returning ledger_id, covered_seq
    ), sums as materialized (
        select ledger_id, contact_id, currency, amount
        from (
            select ledger_id, contact_id, currency, sum(amount)::bigint as amount from debitum.postings
            where ledger_id >= :first and ledger_id <= :last and {of_bucket}
            group by ledger_id, contact_id, currency
            having sum(amount) <> 0
        ) summed
        join marked using (ledger_id)
    ), written as (
        insert into debitum.balances (ledger_id, contact_id, currency, amount)
        select ledger_id, contact_id, currency, amount from sums order by ledger_id, contact_id, currency
        on conflict (ledger_id, contact_id, currency) do update set amount = excluded.amount
    )
    select currency, count(*) as rows, 0::bigint as covered from sums group by currency
    union all
    select null, count(*), coalesce(sum(covered_seq), 0)::bigint from marked
""",
    ledger="ledger_id",
    currency=Text,
    rows=BigInteger,
    covered=BigInteger,
)
"""A mark that is inserted is locked by that: another run waits, and then leaves the ledger alone. Who is being erased is waited
for beside the head, which is read without a lock: that could show what came after the postings that this statement sees.

Who has no mark has no balance; one that is there nevertheless is not the sum of anything, and is overwritten.
"""

_CLEAN = text("""
    with covered as (
        select ledger.id from debitum.ledgers ledger join debitum.projection_marks mark on mark.ledger_id = ledger.id
        where ledger.id = any(:ledgers) and ledger.dirty and ledger.version = mark.covered_seq
        order by ledger.id
        for no key update of ledger skip locked
    )
    update debitum.ledgers ledger set dirty = false from covered where ledger.id = covered.id
""")
"""A head that is locked has a commit in flight, which leaves the ledger dirty anyway: never wait for a writer."""

_FORGET_ROWS = text("delete from debitum.balances where ledger_id = :ledger").bindparams(bindparam("ledger", type_=Uuid))

_FORGET_MARK = text("update debitum.projection_marks set covered_seq = 0 where ledger_id = :ledger").bindparams(
    bindparam("ledger", type_=Uuid)
)


# --- compare --------------------------------------------------------------------------------------------------------


def differences(begin: Begin, *, chunk_ledgers: int = CHUNK_LEDGERS) -> Iterator[Difference]:
    """Every balance that is not the sum of the postings that it covers; a short transaction and a page in memory at a time."""
    after = _FIRST
    while after != _LAST:
        with begin() as connection:
            page, after = _differences_after(connection, after, chunk_ledgers)
        yield from page


def sample_differences(connection: Connection, *, start: UUID, ledgers: int) -> list[Difference]:
    """The same of about `ledgers` neighbours in id order from a random `start` on: ids are random, neighbours share nothing."""
    page, last = _differences_after(connection, start, ledgers)
    if last == _LAST:  # the end came first: go on at the beginning, which in a small database looks at everything
        page = [*page, *_differences_after(connection, _FIRST, ledgers)[0]]
    return sorted(set(page), key=lambda found: (found.ledger_id, found.contact_id, found.currency))


def row_count(connection: Connection) -> int:
    """How many balances there are: exact up to EXACT_COUNT_ROWS, else the planner's estimate."""
    counted: int = connection.execute(_COUNT, {"limit": EXACT_COUNT_ROWS + 1}).scalar_one()
    if counted <= EXACT_COUNT_ROWS:
        return counted
    return max(counted, int(connection.execute(_ESTIMATE).scalar_one()))


def _differences_after(connection: Connection, after: UUID, ledgers: int) -> tuple[list[Difference], UUID]:
    ids = connection.scalars(_NEXT_LEDGERS, {"after": after, "limit": ledgers}).all()
    # A range rather than a list: it also meets balances of a ledger that no longer exists.
    until = ids[-1] if len(ids) == ledgers else _LAST
    rows = connection.execute(_DIFFERENCES, {"after": after, "until": until})
    return [Difference(*row) for row in rows], until


_NEXT_LEDGERS = text("select id from debitum.ledgers where id > :after order by id limit :limit").columns(id=Uuid)

_DIFFERENCES = text("""
    select ledger_id, contact_id, currency, coalesce(balance.amount, 0) as materialised, coalesce(posted.amount, 0) as posted
    from (
        select ledger_id, contact_id, currency, amount from debitum.balances where ledger_id > :after and ledger_id <= :until
    ) balance
    full join (
        select posting.ledger_id, posting.contact_id, posting.currency, sum(posting.amount)::bigint as amount
        from debitum.postings posting
        join debitum.projection_marks mark on mark.ledger_id = posting.ledger_id and posting.seq <= mark.covered_seq
        where posting.ledger_id > :after and posting.ledger_id <= :until
        group by posting.ledger_id, posting.contact_id, posting.currency
    ) posted using (ledger_id, contact_id, currency)
    where coalesce(balance.amount, 0) <> coalesce(posted.amount, 0)
    order by ledger_id, contact_id, currency
""").columns(ledger_id=Uuid, contact_id=Uuid, currency=Text, materialised=BigInteger, posted=BigInteger)

_COUNT = text("select count(*) from (select from debitum.balances limit :limit) counted")
_ESTIMATE = text("select reltuples::bigint from pg_class where oid = 'debitum.balances'::regclass")


# --- read -----------------------------------------------------------------------------------------------------------


# Under row-level security an index is searched by what cannot leak a row. Of `coalesce` Postgres does not know that, and reads
# the whole ledger; of `case` it does.
_CURRENT: Final = """
    select ledger.id as ledger_id, ledger.version, coalesce(mark.covered_seq, 0) as materialized_version,
           balance.contact_id, balance.currency, balance.amount
    from debitum.ledgers ledger
    left join debitum.projection_marks mark on mark.ledger_id = ledger.id
    left join lateral (
        select contact_id, currency, sum(amount)::bigint as amount
        from (
            select contact_id, currency, amount from debitum.balances where ledger_id = ledger.id
            union all
            select contact_id, currency, amount from debitum.postings
            where ledger_id = ledger.id and seq > case when mark.covered_seq is null then 0 else mark.covered_seq end
        ) part
        group by contact_id, currency
        having sum(amount) <> 0
    ) balance on true
    where ledger.id = {which}
    order by ledger.id, balance.contact_id, balance.currency
"""
CURRENT: Final = (
    text(_CURRENT.format(which=":ledger"))
    .bindparams(bindparam("ledger", type_=Uuid))
    .columns(
        ledger_id=Uuid, version=BigInteger, materialized_version=BigInteger, contact_id=Uuid, currency=Text, amount=BigInteger
    )
)
"""The balances of `ledger` at this moment, for any connection that may see it: materialised plus tail in one statement.

Rows (ledger_id, version, materialized_version, contact_id, currency, amount), amounts other than 0 only, by contact and
currency. A ledger without balances gives one row whose last three are null; an unknown ledger gives none.
"""
CURRENT_OF_MANY: Final = _CURRENT.format(which="any(%(ledgers)s::uuid[])")
"""The same of several, for storage.reader, ledger by ledger."""
