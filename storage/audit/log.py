"""The copy of the log: every event of a UTC day in a file, as Postgres held it when the day was over."""

from typing import Final

from storage.snapshots.schema import COMMON, COPY, Column, Table

_EVENTS: Final = {
    "ledger_id": Column("VARCHAR", "whose ledger"),
    "seq": Column("BIGINT", "the place of the event in it"),
    "event_id": Column("VARCHAR", "the id that the device gave it"),
    "aggregate_type": Column("VARCHAR", "contact, transaction or reminder"),
    "aggregate_id": Column("VARCHAR", "which of them"),
    "event_type": Column("VARCHAR", "CREATED, UPDATED, DELETED, RESTORED or UNDO"),
    "device_id": Column("VARCHAR", "the device; null: a program, or an import"),
    "status": Column("VARCHAR", "accepted or conflict"),
    "recorded_at": Column("TIMESTAMP WITH TIME ZONE", "when the server learned of it"),
    "fingerprint": Column("VARCHAR", "the command's, in hexadecimal digits"),
    "hash": Column("VARCHAR", "the link of the chain, in hexadecimal digits"),
    "fact": Column("VARCHAR", "the fact as canonical JSON; null where it is sealed"),
    "sealed": Column("VARCHAR", "the fact sealed, in hexadecimal digits"),
}
COLUMNS: Final = """
    ledger_id, seq, event_id, aggregate_type, aggregate_id, event_type, device_id, status, recorded_at,
    encode(fingerprint, 'hex'), encode(hash, 'hex'), fact, encode(sealed, 'hex')
"""
"""Of debitum.events, in the order of the table."""

LOG: Final = Table(
    "events",
    "Every event of the day, with all that was recorded of it.",
    _EVENTS | COMMON,
    ("ledger_id", "seq"),
    f"select {COLUMNS} from debitum.events where recorded_at >= %(start)s::timestamptz and recorded_at < %(end)s",  # noqa: S608 - ours
    "event_type",
    keeps=True,  # made anew, it would be held against what it was made of
    folder=COPY,
)

_ALL: Final = """
    seq, event_id, aggregate_type, aggregate_id, event_type, device_id, status,
    {microseconds}, {fingerprint}, {hash}, fact, {sealed}
"""
IN_POSTGRES: Final = _ALL.format(
    microseconds="(extract(epoch from recorded_at) * 1000000)::bigint",
    fingerprint="encode(fingerprint, 'hex')",
    hash="encode(hash, 'hex')",
    sealed="encode(sealed, 'hex')",
)
IN_DUCKDB: Final = _ALL.format(microseconds="epoch_us(recorded_at)", fingerprint="fingerprint", hash="hash", sealed="sealed")
"""All of an event, in words that both engines put together to the same text."""
