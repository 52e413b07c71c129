"""Contacts' phones and e-mails, facts that hold them, refused commands and push targets are stored encrypted."""

import sqlalchemy as sa
from alembic import context, op

from storage import sealing
from storage.migrations import KeysNeededError

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. The code of the revision before cannot read what this leaves: stop it first. Raises KeysNeededError.

    Columns change their type in place, which writes the tables anew and leaves no clear row behind. The log is not written
    anew: where clear facts were sealed, `vacuum full debitum.events` removes what was there before.
    """
    op.execute("set local search_path = debitum")
    for name, columns in _CLEAR_COLUMNS.items():
        op.execute(f"create temporary table {name}_clear on commit drop as select {columns} from {name}")
    _change_columns()
    _seal(op.get_bind())
    op.execute("alter table events add constraint events_fact_in_clear_or_sealed_check check (num_nonnulls(fact, sealed) = 1)")
    op.execute("alter table rejections alter column command set not null")
    op.execute(
        "alter table devices add constraint devices_push_is_whole_check"
        " check (num_nulls(push_kind, push_value, push_fingerprint) in (0, 3))"
    )


_CLEAR_COLUMNS = {
    "contacts": "ledger_id, id, phone, email",
    "rejections": "ledger_id, event_id, command",
    "devices": "user_id, id, push_kind, push_value",
}


def _change_columns() -> None:
    op.execute("alter table events add column sealed bytea, alter column fact drop not null")
    op.execute("comment on column events.sealed is 'the same, encrypted, of a fact that holds a contact''s phone or e-mail'")
    op.execute("alter table contacts alter column phone type bytea using null, alter column email type bytea using null")
    op.execute("comment on column contacts.phone is 'encrypted'")
    op.execute("comment on column contacts.email is 'encrypted'")
    op.execute("alter table rejections alter column command drop not null, alter column command type bytea using null")
    op.execute("comment on column rejections.command is 'the item as it was pushed, encrypted'")
    op.execute("drop index devices_push_value_idx")
    op.execute("alter table devices drop constraint devices_push_is_whole_check")
    op.execute("alter table devices alter column push_value type bytea using null, add column push_fingerprint bytea")
    op.execute("comment on column devices.push_value is 'encrypted'")
    op.execute("comment on column devices.push_fingerprint is 'keyed hash of kind and value, to find the same target again'")
    op.execute("create index devices_push_fingerprint_idx on devices (push_fingerprint) where push_fingerprint is not null")
    op.execute("grant update (push_fingerprint) on devices to debitum_jobs")


_CLEAR = """
    select id, data_key, owner_id from ledgers where
       exists (select from events where ledger_id = ledgers.id and fact::jsonb ? 'salt')
    or exists (select from contacts_clear where ledger_id = ledgers.id and (phone is not null or email is not null))
    or exists (select from rejections_clear where ledger_id = ledgers.id)
    or exists (select from devices_clear where user_id = ledgers.owner_id and push_value is not null)
"""


def _seal(connection: sa.Connection) -> None:
    found = connection.exec_driver_sql(_CLEAR).all()
    keys = context.config.attributes.get("keys")
    if found and keys is None:
        raise KeysNeededError("there are private values to encrypt: run this with DEBITUM_KEYS, as `debitum migrate` does")
    for ledger_id, data_key, owner_id in found:
        cipher = keys.cipher(str(ledger_id), data_key)
        _seal_facts(connection, ledger_id, cipher)
        _seal_contacts(connection, ledger_id, cipher)
        _seal_commands(connection, ledger_id, cipher)
        _seal_targets(connection, owner_id, cipher, keys)


def _seal_facts(connection, ledger_id, cipher) -> None:
    rows = "select seq, event_id, fact from events where ledger_id = %(ledger)s and fact::jsonb ? 'salt'"
    for seq, event_id, fact in connection.exec_driver_sql(rows, {"ledger": ledger_id}).all():
        connection.exec_driver_sql(
            "update events set fact = null, sealed = %(sealed)s where ledger_id = %(ledger)s and seq = %(seq)s",
            {"ledger": ledger_id, "seq": seq, "sealed": cipher.seal("event", event_id, "fact", fact)},
        )


def _seal_contacts(connection, ledger_id, cipher) -> None:
    for name in ("phone", "email"):
        rows = f"select id, {name} from contacts_clear where ledger_id = %(ledger)s and {name} is not null"
        for contact_id, value in connection.exec_driver_sql(rows, {"ledger": ledger_id}).all():
            connection.exec_driver_sql(
                f"update contacts set {name} = %(sealed)s where ledger_id = %(ledger)s and id = %(id)s",
                {"ledger": ledger_id, "id": contact_id, "sealed": cipher.seal("contact", contact_id, name, value)},
            )


def _seal_commands(connection, ledger_id, cipher) -> None:
    rows = "select event_id, command from rejections_clear where ledger_id = %(ledger)s"
    for event_id, command in connection.exec_driver_sql(rows, {"ledger": ledger_id}).all():
        connection.exec_driver_sql(
            "update rejections set command = %(sealed)s where ledger_id = %(ledger)s and event_id = %(id)s",
            {"ledger": ledger_id, "id": event_id, "sealed": cipher.seal("rejection", event_id, "command", command)},
        )


def _seal_targets(connection, user_id, cipher, keys) -> None:
    rows = "select id, push_kind, push_value from devices_clear where user_id = %(user)s and push_value is not null"
    for device_id, kind, value in connection.exec_driver_sql(rows, {"user": user_id}).all():
        connection.exec_driver_sql(
            "update devices set push_value = %(sealed)s, push_fingerprint = %(found)s where user_id = %(user)s and id = %(id)s",
            {
                "user": user_id,
                "id": device_id,
                "sealed": sealing.store_push_target(cipher, device_id, value),
                "found": sealing.push_fingerprints(keys, kind, value)[0],
            },
        )
