"""One ledger beside others: row-level security alone keeps them apart, and nothing of the others is seen or touched.

The others have things under the very same ids, as ids are unique in a ledger only: whatever forgets the ledger finds them.
"""

import re
import uuid
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection, Engine, Table, insert, text
from sqlalchemy.exc import ProgrammingError

from api.app import ROUTES
from api.settings import Settings
from storage import balances, engine, roles, tables, urls
from storage.encryption import KeyRing, new_ring
from tests.api import estates, ledgerless, rows
from tests.api.estates import Answer, Estate
from tests.api.ledgerless import Line
from tests.fixtures.api import serve
from tests.fixtures.database import cloned

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = "the ids that everybody has"
UNREAD = (tables.delivery_attempts,)
"""What no route reads; the API's role sees its rows as it sees those of the outbox, in the test of every table."""
WRITTEN_BY_JOBS = (tables.balances, tables.projection_marks, tables.delivery_attempts)
BY_POLICY, DENIED = "new row violates row-level security policy", "permission denied"
MOVING = re.compile(rb'(exported_at|projection_lag_seconds)[\\": ]+[^",\\}]+')
"""What is another at every look."""


@dataclass
class World:
    """A database with three users: `twin` does what `one` does, without conditions in its SQL; `foreign` has other texts."""

    database: Engine
    line: Line
    one: Estate
    twin: Estate
    foreign: Estate
    written: dict[bool, list[Any]]
    """By whether conditions were cut out: what was sent while writing, and the rows that it gave or changed."""
    others: dict[bool, tuple[dict[str, str], dict[str, str]]]
    """By the same: digests of every table's rows that are not the user's, before and after."""
    faults: list[str]
    """What of a statement could not be cut out while the twin wrote."""
    plain: "Look"
    """What the twin is answered with all conditions in place."""


@dataclass
class Look:
    """Answers, and what was sent for them: statements with the rows that they gave."""

    answers: list[Answer] = field(default_factory=list)
    sent: list[list[tuple[str, int]]] = field(default_factory=list)
    """By answer."""

    def routes(self, table: Table) -> set[str]:
        """Those that read a table."""
        named = re.compile(rf"\b{table}\b", re.IGNORECASE)
        both = zip(self.answers, self.sent, strict=True)
        return {answer.route for answer, sent in both if any(named.search(sql) for sql, _ in sent)}

    def of(self, routes: Collection[str]) -> list[tuple[Answer, list[tuple[str, int]]]]:
        """Answers of some routes, with what was sent for each; without what is another at every look."""
        both = zip(self.answers, self.sent, strict=True)
        return [
            (replace(answer, content=MOVING.sub(b"", answer.content)), sent) for answer, sent in both if answer.route in routes
        ]


async def look(line: Line, estate: Estate, *, cuts: bool, routes: Collection[str] | None = None) -> Look:
    """Ask everything, or some routes."""
    found = Look()

    def hear(answer: Answer) -> None:
        found.answers.append(answer)
        found.sent.append(line.trace)
        line.trace = []

    line.begin(cuts=cuts)
    estate.hear = hear
    await estates.look(estate, routes)
    estate.hear = lambda answer: None
    line.cuts = False
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(server: str) -> AsyncIterator[World]:
    with cloned(server) as url, ledgerless.tapped() as line:
        database = engine.sync_engine(url, "debitum-test")
        async with serve(Settings(database_url=url, keys=KeyRing.parse(new_ring()))) as api:
            source = await api.register()
            await source.post("/api/contacts", {"name": "first", "id": estates.make_id(SEED, "first")}, status=201)
            log = (await source.http.get("/api/export")).content
            foreign, one, twin = [
                await Estate.founded(api, database, seed=SEED, word=word, unit=unit)
                for word, unit in (("stranger", 990_001), ("mine", 1_000), ("mine", 1_000))
            ]
            made = World(database, line, one, twin, foreign, {}, {}, [], Look())
            await _furnish(made, foreign, log, cuts=False)
            await _furnish(made, one, log, cuts=False)
            await _furnish(made, twin, log, cuts=True)
            made.plain = await look(line, twin, cuts=False)
            yield made
        database.dispose()


async def _furnish(world: World, estate: Estate, log: bytes, *, cuts: bool) -> None:
    """Give a user one of everything; of the two that come without cuts the second one, the twin's equal, is written down."""
    before = rows.digests(world.database, estate.client.user["id"], of_others=True)
    world.line.begin(cuts=cuts)
    await estates.furnish(estate, log, signs_in=estate is not world.foreign)
    with world.database.begin() as connection:
        roles.enter(connection, roles.JOBS)
        balances.rebuild(connection, uuid.UUID(estate.client.ledger_id))
        _send_something(connection, estate, offset_days=7 if estate is world.foreign else -1)
    await estates.go_on(estate)
    if estate is not world.foreign:
        await estates.forget_the_password(estate)
    world.written[cuts], world.faults = world.line.trace, world.line.faults
    world.line.cuts = False
    world.others[cuts] = before, rows.digests(world.database, estate.client.user["id"], of_others=True)


def _send_something(connection: Connection, estate: Estate, offset_days: int) -> None:
    """What the jobs leave of a mail that has gone out; of the twins' and of the stranger's debt on different days."""
    outgoing = uuid.uuid4()
    mail = {
        "ledger_id": estate.client.ledger_id,
        "id": outgoing,
        "dedupe_key": f"due:{estate.id('debt')}:{estates.day(11)}:{offset_days}:email",
        "kind": "due",
        "channel": "email",
        "payload": {},
        "state": "sent",
        "next_at": estates.NOW,
        "created_at": estates.NOW,
        "finished_at": estates.NOW,
    }
    connection.execute(insert(tables.outbox).values(mail))
    attempt = {"ledger_id": estate.client.ledger_id, "outbox_id": outgoing, "attempt": 1, "provider": "files"}
    connection.execute(insert(tables.delivery_attempts).values(attempt | {"started_at": estates.NOW, "outcome": "sent"}))


# --- without conditions ---------------------------------------------------------------------------------------------


async def test_every_route_is_called(world: World) -> None:
    """A route that is added has to be called in tests/api/estates.py too."""
    assert {(route.method, route.path) for route in ROUTES} - world.twin.routes == set()


async def test_what_is_written_without_conditions_is_the_same_and_touches_nobody_else(world: World) -> None:
    one, twin = (_anonymous(estate) for estate in (world.one, world.twin))
    assert twin[: len(one)] == one
    assert world.written[True] == world.written[False]
    for before, after in world.others.values():
        assert after == before
    assert world.faults == []


async def test_what_is_read_without_conditions_is_the_same(world: World) -> None:
    routes = {answer.route for answer in world.plain.answers}
    found = await look(world.line, world.twin, cuts=True)
    assert world.line.faults == []
    assert found.of(routes) == world.plain.of(routes)
    said = b"".join(answer.content for answer in found.answers)
    assert b"mine ana" in said
    assert [mark for mark in _marks(world.foreign) if mark.encode() in said] == []


async def test_what_is_read_without_policies_is_the_same(world: World) -> None:
    """The other way round: no query relies on the policies."""
    routes = {answer.route for answer in world.plain.answers}
    with _without_policies(world.database, *tables.PER_LEDGER):
        found = await look(world.line, world.twin, cuts=False)
    assert found.of(routes) == world.plain.of(routes)


@pytest.mark.parametrize("table", [table for table in tables.PER_LEDGER if table not in UNREAD], ids=str)
async def test_without_both_every_table_shows_others(world: World, table: Table) -> None:
    """So that the tests above can fail, for every table."""
    routes = sorted(world.plain.routes(table))[:2]
    with _without_policies(world.database, table):
        found = await look(world.line, world.twin, cuts=True, routes=routes)
    assert found.answers
    assert found.of(routes) != world.plain.of(routes)


async def test_what_no_route_reads_is_known(world: World) -> None:
    assert [table for table in tables.PER_LEDGER if not world.plain.routes(table)] == list(UNREAD)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("select from debitum.events where ledger_id = any(%(mine)s) and seq = 1", ""),
        ("select from debitum.events where ledger_id in (select unnest(%(mine)s))", "events is read without a condition"),
        ("select from debitum.events where seq = 1", "events is read without a condition"),
        (
            "select from debitum.events e join debitum.postings p using (ledger_id, seq) where e.ledger_id = p.ledger_id",
            "a condition",
        ),
        ("select from debitum.ledgers x join debitum.events e on e.ledger_id = x.id where x.id = any(%(mine)s)", "a condition"),
        ("select from debitum.ledgers where id = any(%(mine)s) and owner_id = %(owner)s", "a condition"),
    ],
)
async def test_a_statement_that_nobody_knows_how_to_cut_is_found(world: World, statement: str, fault: str) -> None:
    world.line.begin(cuts=True)
    client, address = world.twin.client, world.twin.server.settings.database_url
    values = {"mine": [uuid.UUID(client.ledger_id)], "owner": uuid.UUID(client.user["id"])}
    async with await urls.async_connection(address, "debitum-test") as connection, connection.transaction():
        await connection.execute(roles.ENTER, roles.parameters(roles.API, [client.ledger_id]))
        await connection.execute(statement, values)
    world.line.cuts = False
    assert [found.startswith(fault) for found in world.line.faults[:1]] == [True] * bool(fault)


async def test_a_scan_without_a_policy_is_found(world: World) -> None:
    with _without_policies(world.database, tables.reminders):
        await look(world.line, world.twin, cuts=True, routes=["/api/reminders/{id}"])
    assert {fault.splitlines()[0] for fault in world.line.faults} == {"reminders is read without its policy"}


@contextmanager
def _without_policies(database: Engine, *which: Table) -> Iterator[None]:
    """While this lasts, row-level security is off for some tables."""
    for state in ("disable", "enable"):
        if state == "enable":
            yield
        with database.begin() as connection:
            for table in which:
                connection.execute(text(f"alter table {table} {state} row level security"))


# --- without a query of ours ----------------------------------------------------------------------------------------


async def test_a_transaction_sees_the_ledgers_that_it_names_and_none_without(world: World) -> None:
    mine, everyone = world.one.client.ledger_id, {estate.client.ledger_id for estate in (world.one, world.twin, world.foreign)}
    with world.database.connect() as connection:
        kept = {table: _by_ledger(connection, table) for table in tables.PER_LEDGER}
        connection.rollback()
        assert all(everyone <= set(counts) for counts in kept.values()), "everybody has something everywhere"
        for named, role in (([], roles.API), ([mine], roles.API), ([], roles.API), ([], roles.JOBS), ([], roles.OWNER)):
            roles.enter(connection, role, named)
            for table, counts in kept.items():
                seen = {ledger: counts[ledger] for ledger in named} if role == roles.API else counts
                assert _by_ledger(connection, table) == seen, (table.name, role)
            connection.rollback()
        # After the end of a transaction that named a ledger the setting is '', which is not null and no list.
        assert connection.scalar(text("select current_setting('app.ledgers', true)")) == ""
        connection.execute(text(f"set local role {roles.API}"))
        assert [_by_ledger(connection, table) for table in tables.PER_LEDGER] == [{}] * len(tables.PER_LEDGER)


async def test_nothing_is_written_into_a_ledger_that_is_not_named(world: World) -> None:
    """Not as a new row, not by a row of one's own that moves there, and not over a row that is there."""
    mine, theirs = (uuid.UUID(estate.client.ledger_id) for estate in (world.one, world.foreign))
    for table in tables.PER_LEDGER:
        owner = rows.owner(table)
        columns = ", ".join(column.name for column in table.c)
        copy = f"insert into {table} ({columns}) select {columns} from jsonb_populate_record(null::{table}, cast(:row as jsonb))"
        with world.database.connect() as connection:
            row = connection.scalar(
                text(f"select to_jsonb(t)::text from {table} t where {owner} = :theirs limit 1"), {"theirs": theirs}
            )
            adds = _refusal(connection, mine, copy, row=row)
            moves = _refusal(connection, mine, f"update {table} set {owner} = :theirs", theirs=theirs)
            changes = f"update {table} set {owner} = {owner} where {owner} = :theirs"
            if table in WRITTEN_BY_JOBS:
                assert (adds, moves) == (DENIED, DENIED)
            elif table in tables.LOG:
                assert (adds, moves) == (BY_POLICY, DENIED)
            else:
                assert (adds, moves) == (BY_POLICY, BY_POLICY)
                roles.enter(connection, roles.API, [mine])
                assert connection.execute(text(changes), {"theirs": theirs}).rowcount == 0


def _by_ledger(connection: Connection, table: Table) -> dict[str, int]:
    """How many rows there are of each ledger."""
    owner = rows.owner(table)
    found = connection.execute(text(f"select {owner}::text as owner, count(*) as rows from {table} group by 1"))
    return {row.owner: row.rows for row in found}


def _refusal(connection: Connection, ledger_id: uuid.UUID, statement: str, **values: Any) -> str:
    """Why the API's role may not do this where it has named `ledger_id`."""
    connection.rollback()
    roles.enter(connection, roles.API, [ledger_id])
    with pytest.raises(ProgrammingError) as refused:
        connection.execute(text(statement), values)
    connection.rollback()
    return str(refused.value.orig).split(" for table")[0]


# --- what was said --------------------------------------------------------------------------------------------------


def _marks(estate: Estate) -> list[str]:
    """What only this user's answers can have in them."""
    client = estate.client
    amounts = [str(estate.unit * times) for times in range(2, 10)]
    return [estate.word, client.ledger_id, client.user["id"], client.user["email"], *amounts]


def _anonymous(estate: Estate) -> list[Any]:
    """Answers without what tells twins from each other: whose it is, when it was, and what follows from that."""
    return [
        (
            _unnamed(answer.asked, estate),
            answer.status,
            {name: _unnamed(value, estate) for name, value in answer.headers.items()},
            _unnamed(answer.content.decode(), estate),
        )
        for answer in estate.answers
    ]


_DIFFERENT = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[^5][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"  # ids that the server made
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z|\b[0-9a-f]{64}\b|\b[0-9a-f]{32}\b"  # times, hashes and salts
    r'|(?<=_token":")[^"]+|(?<="token":")[^"]+|(?<="next_cursor":")[^"]+'
)


def _unnamed(said: str, estate: Estate) -> str:
    return _DIFFERENT.sub("…", said.replace(estate.client.user["email"], "…"))
