"""The replay: what the log says, by statements of DuckDB over the view `facts`, and where Postgres says something else."""

from collections.abc import Iterator
from typing import Final

from storage.audit.shapes import SHAPES, Shape

OF_A_CHANGE: Final = '[{"aggregate_type":"VARCHAR","aggregate_id":"VARCHAR","op":"VARCHAR","fields":"JSON"}]'

CHAIN: Final = """
    with linked as (
        select *, lag(seq, 1, 0) over (partition by ledger_id order by seq) as before,
               lag(hash, 1, '') over (partition by ledger_id order by seq) as previous,
               lag(recorded_at) over (partition by ledger_id order by seq) as earlier
        from facts
    )
    select ledger_id, min(seq) from linked
    where seq <> before + 1 or recorded_at < earlier or fact is null or hash <> sha256(unhex(previous || sha256(fact)))
       or (fact ->> '$.seq')::bigint <> seq or fact ->> '$.id' <> event_id or fact ->> '$.status' <> status
       or fact ->> '$.aggregate_type' <> aggregate_type or fact ->> '$.aggregate_id' <> aggregate_id
       or fact ->> '$.event_type' <> event_type or (fact ->> '$.device_id') is distinct from device_id
       or (fact ->> '$.recorded_at')::timestamptz <> recorded_at
    group by ledger_id
"""
"""Each fact is the one that was hashed, follows the one before, and is what the columns beside it say."""

CHANGES: Final = f"""
    create table changes as
    with listed as (
        select ledger_id, seq, device_id, fact ->> '$.recorded_at' as recorded_at,
               from_json(fact::json -> 'changes', '{OF_A_CHANGE}') as changes
        from facts where fact is not null
    ), placed as (
        select * exclude (changes), generate_subscripts(changes, 1) as place, unnest(changes) as change from listed
    )
    select ledger_id, seq, place, device_id, recorded_at, change.aggregate_type as kind, change.aggregate_id as id,
           change.op as op, change.fields as fields
    from placed
"""  # noqa: S608 - our own words


def _after(name: str) -> str:
    return f"fields ->> '$.{name}[1]'"


def _has(*names: str) -> str:
    return " or ".join(f"json_exists(fields, '$.{name}')" for name in names)


def _last(what: str, condition: str) -> str:
    """The newest of `what` where `condition` holds, null included."""
    return f"(arg_max({{'value': {what}}}, (seq, place)) filter (where {condition})).value"


def expected(shape: Shape) -> str:
    """A table of what the log says of one kind of entity, everything as text."""
    columns = {name: _last(_after(name), _has(name)) for name in shape.fields}
    deleted_at, deleting, creating = _last(_after("deleted_at"), _has("deleted_at")), _has("deleted_at"), "op = 'create'"
    columns |= {
        "created_seq": "min(seq)::varchar",
        "created_device": _last("device_id", creating),
        "created_at": _last("recorded_at", creating),
        "changed_seq": "max(seq)::varchar",
        "updated_at": _last("recorded_at", "true"),
        "deleted_seq": f"case when {deleted_at} is not null then max(seq) filter (where {deleting}) end::varchar",
        "deleted_at": deleted_at,
    }
    if shape.timed:
        columns[shape.timed] = _timed(shape)
    moved = {group: f"op <> 'create' and ({_has(*names)})" for group, names in shape.groups.items()}
    for group, when in moved.items():
        columns[f"mark_{group}"] = (
            f"coalesce(max(seq) filter (where {when})::varchar, '') || ':' || coalesce({_last('device_id', when)}, '')"
        )
    count = " + ".join(f"(count(*) filter (where {when}) > 0)::integer" for when in moved.values())
    columns["mark_count"] = f"({count})::varchar"
    named = ", ".join(f"{what} as {name}" for name, what in columns.items())
    return f"""
        create table expected_{shape.table} as
        select ledger_id, id, {named} from changes where kind = '{shape.kind}' group by ledger_id, id
    """  # noqa: S608 - our own names


def _timed(shape: Shape) -> str:
    moment = _last("recorded_at", _has(*shape.timed_fields))
    if not shape.cleared:
        return moment
    [name] = shape.timed_fields
    return f"case when {_last(_after(name), _has(name))} is not null then {moment} end"


def differing(shape: Shape) -> str:
    """Each ledger whose rows of one kind are not what the log says, with the first seq of such a row."""
    differs = " or ".join(f"expected.{name} is distinct from found.{name}" for name in shape.columns)
    return f"""
        select ledger_id, min(coalesce(expected.changed_seq, found.changed_seq)::bigint)
        from expected_{shape.table} expected full join found_{shape.table} found using (ledger_id, id)
        where expected.created_seq is null or found.created_seq is null or {differs}
        group by ledger_id
    """  # noqa: S608 - our own names


def _so_far(name: str) -> str:
    told = f"case when {_has(name)} then {{'value': {_after(name)}}} end"
    return f"last_value({told} ignore nulls) over story as {name}"


_TOLD: Final = ", ".join(
    map(_so_far, ("type", "direction", "amount", "currency", "contact_id", "transaction_date", "deleted_at"))
)
POSTINGS: Final = f"""
    create table expected_postings as
    with told as (
        select ledger_id, seq, place, id, recorded_at, {_TOLD}
        from changes where kind = 'transaction'
        window story as (partition by ledger_id, id order by seq, place rows between unbounded preceding and current row)
    ), effects as (
        select ledger_id, seq, place, id, recorded_at,
               case when type.value = 'money' and deleted_at.value is null then {{
                   'contact_id': contact_id.value, 'currency': currency.value, 'effective_date': transaction_date.value,
                   'amount': case direction.value when 'lent' then 1 else -1 end * amount.value::bigint
               }} end as after
        from told
    ), steps as (
        select *, lag(after) over (partition by ledger_id, id order by seq, place) as before from effects
    ), lines as (
        select ledger_id, seq, id, recorded_at, before as line, -1 as sign from steps where before is distinct from after
        union all
        select ledger_id, seq, id, recorded_at, after, 1 from steps where before is distinct from after
    )
    select ledger_id, seq, line.contact_id as contact_id, id as transaction_id, line.currency as currency,
           sign * line.amount as amount, line.effective_date as effective_date, recorded_at
    from lines where line is not null
"""  # noqa: S608 - our own names
"""A change of a debt takes back what it did to the money, and does what is new."""

CONFLICTS: Final = """
    create table expected_conflicts as
    with undone as (
        select ledger_id, lower(fact ->> '$.event_data.undone_event_id') as event_id from facts
        where fact ->> '$.event_data.undone_event_id' is not null
    ), settled as (
        select ledger_id, lower(fact ->> '$.event_data.resolves') as event_id, arg_max(facts.event_id, seq) as resolved_by
        from facts where status = 'accepted' and fact ->> '$.event_data.resolves' is not null
        group by 1, 2
    )
    select ledger_id, facts.event_id, seq, aggregate_type, aggregate_id, fact ->> '$.conflict.kind' as kind,
           (fact ->> '$.conflict.with_seq')::bigint as with_seq,
           case when undone.event_id is null then resolved_by end as resolved_by
    from facts left join settled using (ledger_id, event_id)
    left join undone on undone.ledger_id = facts.ledger_id and undone.event_id = settled.resolved_by
    where status = 'conflict'
"""

_HEADS_DIFFER: Final = """
    with logs as (
        select ledger_id, max(seq) as version, arg_max(hash, seq) as hash, max(recorded_at) as recorded_at
        from facts group by ledger_id
    ), turnovers as (
        select ledger_id, sum(abs(amount)) as turnover from expected_postings group by ledger_id
    )
    select ledger_id, coalesce(logs.version, head.version)
    from logs full join found_ledgers head using (ledger_id) left join turnovers using (ledger_id)
    where head.version is null or head.version <> coalesce(logs.version, 0) or head.hash is distinct from logs.hash
       or head.recorded_at is distinct from logs.recorded_at or head.turnover <> coalesce(turnovers.turnover, 0)
       or (not head.dirty and head.version > coalesce(head.covered_seq, 0))
"""
_MARKS_DIFFER: Final = "select ledger_id, covered_seq from found_ledgers where covered_seq > version or covered_seq < 0"
_BALANCES_DIFFER: Final = """
    with sums as (
        select ledger_id, contact_id, currency, sum(amount) as amount, max(seq) as seq
        from expected_postings join found_ledgers using (ledger_id)
        where seq <= covered_seq group by ledger_id, contact_id, currency having sum(amount) <> 0
    ), found as (
        from found_balances left join found_ledgers using (ledger_id)
    )
    select ledger_id, min(coalesce(sums.seq, found.covered_seq, 0))
    from sums full join found using (ledger_id, contact_id, currency)
    where sums.amount is distinct from found.amount
    group by ledger_id
"""
"""The seq is that of the last posting of the first account that differs."""


def _rows_differ(table: str) -> str:
    """The same of a table without fields that change: rows that are on one side only."""
    return f"""
        select ledger_id, min(seq) from (
            (select * from expected_{table} except all select * from found_{table})
            union all
            (select * from found_{table} except all select * from expected_{table})
        ) group by ledger_id
    """  # noqa: S608 - our own names


def statements() -> Iterator[str]:
    """What makes the tables of what is expected."""
    yield CHANGES
    for shape in SHAPES:
        yield expected(shape)
    yield POSTINGS
    yield CONFLICTS


def questions() -> Iterator[tuple[str, str]]:
    """Each table of Postgres with the question which ledgers are wrong there, and from which seq on."""
    yield "events", CHAIN
    yield "ledgers", _HEADS_DIFFER
    for shape in SHAPES:
        yield shape.table, differing(shape)
    yield "conflicts", _rows_differ("conflicts")
    yield "postings", _rows_differ("postings")
    yield "projection_marks", _MARKS_DIFFER
    yield "balances", _BALANCES_DIFFER
