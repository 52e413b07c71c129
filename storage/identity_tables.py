"""The tables of identity, and the metadata that every table of the schema belongs to."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "debitum"

metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

timestamp = DateTime(timezone=True)

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("ledger_id", Uuid, nullable=False, unique=True),
    Column("email", Text, nullable=False, unique=True, comment="lower-cased"),
    Column("email_verified_at", timestamp),
    Column("password_hash", Text, nullable=False),
    Column("name", Text),
    Column("time_zone", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("default_currency", Text, nullable=False),
    Column("reminder_settings", JSONB, nullable=False),
    Column("created_at", timestamp, nullable=False),
    Column("deleting_at", timestamp),
    Column("mail_problem", Text),
    Column("mail_problem_at", timestamp),
    CheckConstraint("email = lower(email)", name="email_is_lower_case"),
    CheckConstraint("mail_problem in ('bounced', 'complained')", name="mail_problem"),
    CheckConstraint("(mail_problem is null) = (mail_problem_at is null)", name="mail_problem_is_whole"),
)

devices = Table(
    "devices",
    metadata,
    Column("user_id", Uuid, ForeignKey("debitum.users.id", ondelete="CASCADE"), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("platform", Text),
    Column("push_kind", Text),
    Column("push_value", LargeBinary, comment="encrypted"),
    Column("push_fingerprint", LargeBinary, comment="keyed hash of kind and value, to find the same target again"),
    Column("created_at", timestamp, nullable=False),
    Column("last_seen_at", timestamp, nullable=False),
    PrimaryKeyConstraint("user_id", "id"),
    CheckConstraint("push_kind in ('token', 'fid')", name="push_kind"),
    CheckConstraint("num_nulls(push_kind, push_value, push_fingerprint) in (0, 3)", name="push_is_whole"),
    Index("devices_push_fingerprint_idx", "push_fingerprint", postgresql_where=text("push_fingerprint is not null")),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("device_id", Uuid, nullable=False),
    Column("created_at", timestamp, nullable=False),
    Column("last_used_at", timestamp, nullable=False),
    Column("expires_at", timestamp, nullable=False),
    Column("revoked_at", timestamp),
    ForeignKeyConstraint(["user_id", "device_id"], ["debitum.devices.user_id", "debitum.devices.id"], ondelete="CASCADE"),
    Index(None, "user_id", "device_id"),
    Index(None, "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True, comment="SHA-256 of the token"),
    Column("session_id", Uuid, ForeignKey("debitum.sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("parent_hash", LargeBinary, index=True),
    Column("created_at", timestamp, nullable=False),
    Column("expires_at", timestamp, nullable=False, index=True),
    Column("used_at", timestamp),
    Column("revoked_at", timestamp),
)

one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True, comment="SHA-256 of the token"),
    Column("user_id", Uuid, ForeignKey("debitum.users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    Column("created_at", timestamp, nullable=False),
    Column("expires_at", timestamp, nullable=False, index=True),
    Column("used_at", timestamp),
    CheckConstraint("purpose in ('verify', 'reset')", name="purpose"),
)

personal_tokens = Table(
    "personal_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("debitum.users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("hash", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("created_at", timestamp, nullable=False),
    Column("expires_at", timestamp, comment="null: never"),
    Column("last_used_at", timestamp, comment="to the minute"),
    CheckConstraint("scope in ('read', 'write')", name="scope"),
)

login_attempts = Table(
    "login_attempts",
    metadata,
    Column("key", LargeBinary, primary_key=True, comment="keyed hash of what somebody signs in as, or of where from"),
    Column("failures", Integer, nullable=False, comment="wrong passwords in a row"),
    Column("last_at", timestamp, nullable=False, index=True),
    CheckConstraint("failures > 0", name="failures_is_positive"),
)

invites = Table(
    "invites",
    metadata,
    Column("hash", LargeBinary, primary_key=True, comment="SHA-256 of the token"),
    Column("email", Text, comment="who may use it, lower-cased; null: whoever has it"),
    Column("created_at", timestamp, nullable=False),
    Column("expires_at", timestamp, nullable=False, index=True),
    Column("used_at", timestamp),
    CheckConstraint("email = lower(email)", name="email_is_lower_case"),
)

mail_events = Table(
    "mail_events",
    metadata,
    Column("id", Text, primary_key=True, comment="the provider's: it tells the same often"),
    Column("user_id", Uuid, ForeignKey("debitum.users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("at", timestamp, nullable=False, index=True),
    CheckConstraint("kind in ('bounced', 'complained')", name="kind"),
)
erasures = Table(
    "erasures",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("ledger_digest", LargeBinary, nullable=False, index=True, comment="SHA-256 of the 16 bytes of the ledger's id"),
    Column("due_at", timestamp, nullable=False, comment="from when on it could be erased"),
    Column("erased_at", timestamp, nullable=False),
    Column(
        "removed",
        JSONB,
        nullable=False,
        comment="{table: rows}, and how many files and snapshot_files the run that ended it removed and re-wrote",
    ),
    CheckConstraint("octet_length(ledger_digest) = 32", name="digest_is_sha256"),
    CheckConstraint("due_at <= erased_at", name="erased_when_due"),
)
"""That somebody's data is gone, without anything else that would know them by it."""
