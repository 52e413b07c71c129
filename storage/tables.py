"""Every table of the schema `debitum`; the named constraints state what must always hold.

No per-ledger table has a foreign key to ledgers: their rows are written under the lock of the ledger's head, which proves
more than a trigger per row could, and a trigger per row would be most of an insert's cost.

Keys begin with ledger_id; other whole indexes do not: while a table is small, one that does looks as good as the key, and
a plan that was made then is kept (docs/decisions/0007).
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from storage.identity_tables import SCHEMA as SCHEMA
from storage.identity_tables import devices as devices
from storage.identity_tables import erasures as erasures
from storage.identity_tables import invites as invites
from storage.identity_tables import login_attempts as login_attempts
from storage.identity_tables import mail_events as mail_events
from storage.identity_tables import metadata as metadata
from storage.identity_tables import one_time_tokens as one_time_tokens
from storage.identity_tables import personal_tokens as personal_tokens
from storage.identity_tables import refresh_tokens as refresh_tokens
from storage.identity_tables import sessions as sessions
from storage.identity_tables import timestamp as _timestamp
from storage.identity_tables import users as users

# --- the log --------------------------------------------------------------------------------------------------------

ledgers = Table(
    "ledgers",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, ForeignKey("debitum.users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("version", BigInteger, nullable=False, server_default="0", comment="seq of the newest fact"),
    Column("head_hash", LargeBinary, comment="hash of the newest fact"),
    Column("recorded_at", _timestamp, comment="of the newest fact"),
    Column("dirty", Boolean, nullable=False, server_default=text("false"), comment="has facts that balances do not cover"),
    Column("turnover", Numeric(40, 0), nullable=False, server_default="0", comment="sum of |amount| over the postings"),
    Column("data_key", LargeBinary, nullable=False, comment="32 random bytes, sealed by the key ring"),
    Column("created_at", _timestamp, nullable=False),
    CheckConstraint("version >= 0", name="version_is_natural"),
    CheckConstraint("(version = 0) = (head_hash is null) and (version = 0) = (recorded_at is null)", name="head_is_whole"),
    CheckConstraint("turnover >= 0", name="turnover_is_natural"),
    Index("ledgers_dirty_idx", "id", postgresql_where=text("dirty")),
    postgresql_with={"fillfactor": 50},
)

LARGE = "coalesce(octet_length(fact), octet_length(sealed)) > 65536"
"""Of an event: few are, such as the deletion of a contact with hundreds of debts, and of these no page has many."""

events = Table(
    "events",
    metadata,
    Column("ledger_id", Uuid, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("aggregate_type", Text, nullable=False),
    Column("aggregate_id", Uuid, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("device_id", Uuid),
    Column("status", Text, nullable=False),
    Column("recorded_at", _timestamp, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False, comment="HMAC-SHA256 of the command, keyed by the ledger"),
    Column("hash", LargeBinary, nullable=False),
    Column("fact", Text, comment="canonical JSON without the hash"),
    Column("sealed", LargeBinary, comment="the same, encrypted, of a fact that holds a contact's phone or e-mail"),
    PrimaryKeyConstraint("ledger_id", "seq"),
    UniqueConstraint("ledger_id", "event_id"),
    Index(None, "aggregate_id", "seq"),
    Index(None, "recorded_at", postgresql_using="brin"),
    Index("events_large_idx", "ledger_id", "seq", postgresql_where=text(LARGE)),
    CheckConstraint("seq > 0", name="seq_is_positive"),
    CheckConstraint("aggregate_type in ('contact', 'transaction', 'reminder')", name="aggregate_type"),
    CheckConstraint("event_type in ('CREATED', 'UPDATED', 'DELETED', 'RESTORED', 'UNDO')", name="event_type"),
    CheckConstraint("status in ('accepted', 'conflict')", name="status"),
    CheckConstraint("octet_length(hash) = 32", name="hash_is_sha256"),
    CheckConstraint("num_nonnulls(fact, sealed) = 1", name="fact_in_clear_or_sealed"),
)

rejections = Table(
    "rejections",
    metadata,
    Column("ledger_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("code", Text, nullable=False),
    Column("detail", Text),
    Column("errors", JSONB),
    Column("command", LargeBinary, nullable=False, comment="the item as it was pushed, encrypted"),
    Column("at", _timestamp, nullable=False, index=True),
    PrimaryKeyConstraint("ledger_id", "event_id"),
)

# --- what follows from the log --------------------------------------------------------------------------------------


def _entity_columns() -> list[Column[object]]:
    return [
        Column("ledger_id", Uuid, nullable=False),
        Column("id", Uuid, nullable=False),
        Column("created_seq", BigInteger, nullable=False),
        Column("created_device", Uuid),
        Column("created_at", _timestamp, nullable=False),
        Column("changed_seq", BigInteger, nullable=False),
        Column("updated_at", _timestamp, nullable=False),
        Column("deleted_seq", BigInteger),
        Column("deleted_at", _timestamp),
        Column("marks", JSONB, nullable=False, comment="{group: [seq, device]} of what changed after the creation"),
    ]


def _entity_constraints() -> list[PrimaryKeyConstraint | CheckConstraint]:
    return [
        PrimaryKeyConstraint("ledger_id", "id"),
        CheckConstraint("(deleted_seq is null) = (deleted_at is null)", name="deletion_is_whole"),
        CheckConstraint("created_seq <= changed_seq", name="changed_after_created"),
    ]


contacts = Table(
    "contacts",
    metadata,
    *_entity_columns(),
    Column("name", Text, nullable=False),
    Column("username", Text),
    Column("phone", LargeBinary, comment="encrypted"),
    Column("email", LargeBinary, comment="encrypted"),
    Column("notes", Text),
    Column("words", TSVECTOR, comment="what search looks at, from domain/words.py"),
    *_entity_constraints(),
)

_RIPE = "(\nCASE\nWHEN due_date IS NULL THEN transaction_date\nELSE due_date\nEND)"
"""From when on the age of a debt counts; written as Postgres gives it back, so that both can be compared."""

transactions = Table(
    "transactions",
    metadata,
    *_entity_columns(),
    Column("contact_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="minor units of the currency; of an item the quantity"),
    Column("currency", Text),
    Column("item", Text),
    Column("description", Text),
    Column("transaction_date", Date, nullable=False),
    Column("due_date", Date),
    Column("repays", Uuid),
    Column("returned_at", _timestamp),
    Column("due_changed_at", _timestamp, comment="when due_date last took its value"),
    Column("words", TSVECTOR, comment="what search looks at, from domain/words.py"),
    *_entity_constraints(),
    Index("transactions_of_contact_idx", "contact_id", "ledger_id", text(_RIPE)),
    Index(None, "repays", postgresql_where=text("repays is not null")),
    Index(
        "transactions_due_idx",
        "due_date",
        postgresql_where=text("due_date is not null and deleted_seq is null and returned_at is null"),
    ),
    CheckConstraint("type in ('money', 'item')", name="type"),
    CheckConstraint("direction in ('lent', 'owed')", name="direction"),
    CheckConstraint("amount between 1 and 9007199254740991", name="amount_is_positive"),
    CheckConstraint("(type = 'money') = (currency is not null)", name="currency_iff_money"),
    CheckConstraint("(type = 'item') = (item is not null)", name="item_iff_item"),
    CheckConstraint("returned_at is null or type = 'item'", name="returned_at_only_of_items"),
    CheckConstraint("repays is null or type = 'money'", name="repays_only_of_money"),
    CheckConstraint("(due_date is null) = (due_changed_at is null)", name="due_changed_iff_due"),
)

_AWAITED = "deleted_seq is null and done_at is null"

reminders = Table(
    "reminders",
    metadata,
    *_entity_columns(),
    Column("contact_id", Uuid),
    Column("transaction_id", Uuid),
    Column("remind_at", _timestamp, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("repeat", Text),
    Column("channels", ARRAY(Text), nullable=False),
    Column("message", Text),
    Column("snoozed_until", _timestamp),
    Column("done_at", _timestamp),
    Column("schedule_changed_at", _timestamp, nullable=False, comment="when remind_at … channels last took their values"),
    Column("repeat_days", ARRAY(SmallInteger), comment="marks of the days on which it may happen again (domain/recurrence.py)"),
    Column("repeat_until", Date, comment="it happens on no later day, in whatever zone; null: there is no end"),
    *_entity_constraints(),
    Index(None, "contact_id", postgresql_where=text("contact_id is not null")),
    Index(None, "transaction_id", postgresql_where=text("transaction_id is not null")),
    Index(None, "remind_at", postgresql_where=text(_AWAITED)),
    Index(None, "snoozed_until", postgresql_where=text(f"{_AWAITED} and snoozed_until is not null")),
    Index(None, "repeat_days", postgresql_using="gin", postgresql_where=text(f"{_AWAITED} and repeat_days is not null")),
    CheckConstraint("(repeat is null) = (repeat_days is null)", name="repeat_days_iff_repeat"),
    CheckConstraint("repeat_until is null or repeat is not null", name="repeat_until_only_of_repeating"),
    CheckConstraint("channels <@ array['email', 'push']", name="channels"),
)

postings = Table(
    "postings",
    metadata,
    Column("ledger_id", Uuid, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("contact_id", Uuid, nullable=False),
    Column("transaction_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False, comment="minor units; positive: they owe the user"),
    Column("effective_date", Date, nullable=False),
    Column("recorded_at", _timestamp, nullable=False),
    PrimaryKeyConstraint("ledger_id", "seq", "line"),
    Index(None, "recorded_at", postgresql_using="brin"),
    CheckConstraint("amount <> 0", name="amount_is_not_zero"),
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("ledger_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("aggregate_type", Text, nullable=False),
    Column("aggregate_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("with_seq", BigInteger, nullable=False),
    Column("resolved_by", Uuid, comment="the event that settled it"),
    PrimaryKeyConstraint("ledger_id", "event_id"),
    Index("conflicts_open_idx", "ledger_id", "seq", postgresql_where=text("resolved_by is null")),
    Index(None, "resolved_by", postgresql_where=text("resolved_by is not null")),
    CheckConstraint("kind in ('edit', 'edit_of_deleted', 'delete_vs_edit', 'delete_vs_new')", name="kind"),
)

# --- written by Dagster ---------------------------------------------------------------------------------------------

balances = Table(
    "balances",
    metadata,
    Column("ledger_id", Uuid, nullable=False),
    Column("contact_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("ledger_id", "contact_id", "currency"),
)

projection_marks = Table(
    "projection_marks",
    metadata,
    Column("ledger_id", Uuid, nullable=False, primary_key=True),
    Column("covered_seq", BigInteger, nullable=False, comment="balances are the sum of the postings up to this seq"),
    Column("materialized_at", _timestamp, nullable=False),
)

# --- notifications --------------------------------------------------------------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    Column("ledger_id", Uuid, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("dedupe_key", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="the name of a template"),
    Column("channel", Text, nullable=False),
    Column("payload", JSONB, nullable=False, comment="ids, dates and occurrences: what to say is read when it is sent"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("next_at", _timestamp, nullable=False, comment="not to be sent before"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("fence", BigInteger, nullable=False, server_default="0", comment="rises with every claim; only its holder may finish"),
    Column("lease_until", _timestamp),
    Column("created_at", _timestamp, nullable=False),
    Column("finished_at", _timestamp),
    Column("reason", Text, comment="why it is dead or suppressed"),
    PrimaryKeyConstraint("ledger_id", "id"),
    UniqueConstraint("ledger_id", "dedupe_key"),
    Index("outbox_ready_idx", "channel", "next_at", "id", postgresql_where=text("state = 'pending'")),
    Index(
        "outbox_accounts_idx",
        "channel",
        "next_at",
        "id",
        postgresql_where=text("state = 'pending' and kind in ('verify', 'reset', 'welcome')"),
    ),
    Index("outbox_leased_idx", "lease_until", postgresql_where=text("state = 'leased'")),
    Index("outbox_finished_idx", "finished_at", postgresql_where=text("finished_at is not null")),
    CheckConstraint("channel in ('email', 'push')", name="channel"),
    CheckConstraint("state in ('pending', 'leased', 'sent', 'dead', 'suppressed')", name="state"),
    CheckConstraint("(state = 'leased') = (lease_until is not null)", name="lease_iff_leased"),
    CheckConstraint("(state in ('sent', 'dead', 'suppressed')) = (finished_at is not null)", name="finished_iff_over"),
    postgresql_with={"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.01},
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("ledger_id", Uuid, nullable=False),
    Column("outbox_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("provider", Text, nullable=False, comment="which implementation of the channel: files, smtp …"),
    Column("started_at", _timestamp, nullable=False, comment="written before the call"),
    Column("finished_at", _timestamp),
    Column("outcome", Text, comment="null: nothing is known"),
    Column("detail", Text),
    PrimaryKeyConstraint("ledger_id", "outbox_id", "attempt"),
    ForeignKeyConstraint(["ledger_id", "outbox_id"], ["debitum.outbox.ledger_id", "debitum.outbox.id"], ondelete="CASCADE"),
    Index(None, "started_at"),
    CheckConstraint("outcome in ('sent', 'transient', 'permanent', 'channel_down', 'target_gone', 'unknown')", name="outcome"),
)

circuits = Table(
    "circuits",
    metadata,
    Column("channel", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("opened_at", _timestamp, nullable=False),
    Column("retry_at", _timestamp, nullable=False, comment="nobody asks it before"),
    Column("detail", Text, nullable=False, comment="what it answered"),
    PrimaryKeyConstraint("channel", "provider"),
    CheckConstraint("channel in ('email', 'push')", name="channel"),
)

PER_LEDGER = tuple(
    table for table in metadata.sorted_tables if table is ledgers or ("ledger_id" in table.c and table is not users)
)
"""The tables whose rows belong to one ledger: row-level security guards each."""
LOG = (events, postings)
"""Tables that the api role may add to, never change."""
