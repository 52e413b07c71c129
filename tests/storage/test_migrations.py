"""The migrated database and the tables that the code declares are the same thing."""

import re
import uuid
from typing import get_args

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from domain import chain, facts, words
from storage import engine, identity, migrations, revisions, roles, sealing, tables, verify
from tests.fixtures.dump import dump
from tests.storage.test_ledgers import KEYS

NOW = "2026-11-22T21:00:00.000000Z"


def test_migrating_again_changes_nothing(database: Engine) -> None:
    with database.connect() as connection:
        assert migrations.current(connection) == revisions.newest() is not None
        migrations.migrate(connection)
        assert migrations.current(connection) == revisions.newest()


def test_every_per_ledger_table_is_guarded_by_row_level_security(database: Engine) -> None:
    with database.connect() as connection:
        guarded = connection.scalars(
            text(
                "select relname from pg_class join pg_namespace n on n.oid = relnamespace"
                " where nspname = 'debitum' and relrowsecurity and relforcerowsecurity"
            )
        )
        assert set(guarded) == {table.name for table in tables.PER_LEDGER}


def test_only_keys_begin_with_the_ledger(database: Engine) -> None:
    """While a table is small, another index looks as good as the key, and a plan that was made then is kept."""
    names = [table.name for table in tables.PER_LEDGER if table is not tables.ledgers]
    with database.connect() as connection:
        found = connection.execute(
            text(
                "select i.indrelid::regclass::text as on_table, i.indexrelid::regclass::text as name, i.indisunique as is_key,"
                " a.attname as first from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]"
                " where i.indpred is null and i.indrelid = any("
                "array(select ('debitum.' || unnest(cast(:names as text[])))::regclass))"
            ),
            {"names": names},
        ).all()
    assert len(found) > len(names)
    assert [row.name for row in found if (row.first == "ledger_id") != row.is_key] == []


def test_no_role_of_ours_is_above_row_level_security(database: Engine) -> None:
    with database.connect() as connection:
        rows = connection.execute(
            text("select rolname, rolsuper, rolbypassrls from pg_roles where rolname = any(:names)"), {"names": list(roles.ALL)}
        ).all()
        assert {row.rolname for row in rows} == set(roles.ALL)
        assert not any(row.rolsuper or row.rolbypassrls for row in rows)


def test_a_one_time_token_is_for_what_the_code_mints_it_for(database: Engine) -> None:
    with database.connect() as connection:
        said = connection.scalar(
            text("select pg_get_constraintdef(oid) from pg_constraint where conname = 'one_time_tokens_purpose_check'")
        )
    assert set(re.findall(r"'(\w+)'", str(said))) == set(get_args(identity.Purpose))


def test_the_api_role_may_not_change_the_log(database: Engine) -> None:
    with database.connect() as connection:
        held = connection.execute(
            text(
                "select table_name, privilege_type from information_schema.role_table_grants"
                " where grantee = 'debitum_api' and table_name = any(:names)"
            ),
            {"names": [table.name for table in tables.LOG]},
        ).all()
        assert {tuple(row) for row in held} == {(table.name, action) for table in tables.LOG for action in ("SELECT", "INSERT")}


CLEAR = """
    insert into debitum.users (id, ledger_id, email, password_hash, time_zone, locale, default_currency, reminder_settings,
                               created_at)
    values (:user, :ledger, 'a@example.org', '', 'UTC', 'en', 'EUR', '{}', :now);
    insert into debitum.devices (user_id, id, name, push_kind, push_value, created_at, last_seen_at)
    values (:user, :device, 'phone', 'token', 'a push target', :now, :now);
    insert into debitum.ledgers (id, owner_id, version, head_hash, recorded_at, data_key, created_at)
    values (:ledger, :user, 1, :hash, :now, :data_key, :now);
    insert into debitum.events (ledger_id, seq, event_id, aggregate_type, aggregate_id, event_type, status, recorded_at,
                                fingerprint, hash, fact)
    values (:ledger, 1, :event, 'contact', :contact, 'CREATED', 'accepted', :now, '', :hash, :fact);
    insert into debitum.contacts (ledger_id, id, created_seq, created_at, changed_seq, updated_at, marks, name, phone, words)
    values (:ledger, :contact, 1, :now, 1, :now, '{}', 'Ana', '+34 600', cast(:words as tsvector));
    insert into debitum.rejections (ledger_id, event_id, fingerprint, code, command, at)
    values (:ledger, :event, '', 'invalid', :command, :now)
"""


def test_what_an_earlier_version_left_in_clear_is_sealed(database: Engine) -> None:
    """With the keys; without them nothing changes."""
    ids = {name: str(uuid.uuid4()) for name in ("user", "ledger", "device", "event", "contact")}
    created = facts.Change("contact", ids["contact"], "create", {"name": (None, "Ana"), "phone": (None, "+34 600")})
    fact = facts.Fact(
        seq=1,
        id=ids["event"],
        aggregate_type="contact",
        aggregate_id=ids["contact"],
        event_type="CREATED",
        event_data={"name": "Ana", "phone": "+34 600"},
        base_seq=0,
        timestamp=NOW,
        recorded_at=NOW,
        status="accepted",
        changes=[created],
        salt="00" * 16,
    )
    written = chain.canonical(fact)
    found = words.vector({"A": "Ana", "B": None, "C": None})
    bound = ids | {
        "now": NOW,
        "fact": written.decode(),
        "hash": chain.link(None, written),
        "words": found,
        "command": '{"phone":1}',
    }
    with database.connect() as connection:
        connection.execute(text("drop schema debitum cascade"))
        connection.commit()
        migrations.migrate(connection, target="0009")
        with connection.begin():
            for statement in CLEAR.split(";"):
                wanted = text(statement)
                values = bound | {"data_key": KEYS.new_data_key(ids["ledger"])}
                connection.execute(wanted, {name: values[name] for name in wanted.compile().params})
        with pytest.raises(migrations.KeysNeededError):
            migrations.migrate(connection)
        connection.rollback()
        assert migrations.current(connection) == "0009"
        connection.rollback()
        migrations.migrate(connection, KEYS)
    assert [row for row in dump(database).splitlines() if "+34 600" in row or "a push target" in row] == []
    with database.execution_options(isolation_level="REPEATABLE READ").begin() as connection:
        assert list(verify.verify(connection, uuid.UUID(ids["ledger"]), KEYS)) == []
        cipher = KEYS.cipher(ids["ledger"], connection.execute(text("select data_key from debitum.ledgers")).scalar_one())
        [device] = connection.execute(text("select id, push_value, push_fingerprint from debitum.devices")).all()
        assert sealing.push_target(cipher, device.id, device.push_value) == "a push target"
        assert device.push_fingerprint == sealing.push_fingerprints(KEYS, "token", "a push target")[0]
        command = connection.execute(text("select command from debitum.rejections")).scalar_one()
        assert sealing.command_text(cipher, ids["event"], command) == '{"phone":1}'


def test_a_login_that_is_no_superuser_migrates_and_sees_nothing_before_it_takes_a_role(
    database: Engine, database_url: str
) -> None:
    name = f"login_{uuid.uuid4().hex}"
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as superuser:
        superuser.execute(text(f"create role {name} login createrole"))
        superuser.execute(text(f"grant pg_read_all_stats to {name} with admin option"))
        for role in roles.ALL:
            superuser.execute(text(f"grant {role} to {name} with admin true, inherit false"))
        superuser.execute(text("drop schema debitum cascade"))
        superuser.execute(text("drop schema dagster cascade"))
        superuser.execute(text(f"alter database {make_url(database_url).database} owner to {name}"))
    url = make_url(database_url).set(username=name).render_as_string(hide_password=False)
    login = engine.sync_engine(url, "debitum-test")
    try:
        with login.connect() as connection:
            assert migrations.current(connection) is None
            migrations.migrate(connection)
            assert migrations.current(connection) == revisions.newest()
        with login.begin() as connection, pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text("select * from debitum.contacts"))
        with login.begin() as connection:
            roles.enter(connection, roles.JOBS)
            assert connection.execute(text("select * from debitum.contacts")).all() == []
    finally:
        login.dispose()
        with database.begin() as superuser:
            superuser.execute(text(f"reassign owned by {name} to current_user"))
            superuser.execute(text(f"drop owned by {name}"))
            superuser.execute(text(f"drop role {name}"))


def test_the_names_of_files_say_which_revisions_there_are() -> None:
    """As Alembic finds them, in a line without branches."""
    chain = [script.revision for script in ScriptDirectory.from_config(migrations.config()).walk_revisions()]
    assert chain == sorted(chain, reverse=True)
    assert chain[0] == revisions.newest()
    assert all(revisions.is_known(revision) for revision in chain)
    assert revisions.is_known(None)
    assert not revisions.is_known(f"{int(chain[0]) + 1:04}")
