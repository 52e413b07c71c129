"""The migrated database and the tables that the code declares are the same thing."""

from sqlalchemy import Engine, text

from storage import migrations, roles, tables


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
