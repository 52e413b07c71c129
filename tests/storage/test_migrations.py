"""The migrated database and the tables that the code declares are the same thing."""

import uuid

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from storage import engine, migrations, roles, tables


def test_migrating_again_changes_nothing(database: Engine) -> None:
    with database.connect() as connection:
        assert migrations.current(connection) == migrations.newest() is not None
        migrations.migrate(connection)
        assert migrations.current(connection) == migrations.newest()


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
            assert migrations.current(connection) == migrations.newest()
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
