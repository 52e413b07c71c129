"""Who may do what: the roles, what each is granted, and what nobody is."""

from sqlalchemy import Connection, text

from storage import roles, tables

PRIVILEGES = ("select", "insert", "update", "delete", "truncate", "references", "trigger")
READ_BY_REPORT = {
    "alembic_version": {"version_num"},
    "erasures": {column.name for column in tables.erasures.c},
    "users": {"id", "time_zone", "locale", "default_currency", "created_at", "deleting_at"},
}
"""All that analysts see of what belongs to no ledger: no address, no name, no password, no token, no session, no device."""
HIDDEN_FROM_REPORT = {("ledgers", "data_key"), ("ledgers", "head_hash"), ("ledgers", "turnover")}
"""And what they do not see of what does."""
ABOVE_POLICIES = {"projection_lag_seconds", "erase_user", "mark_resurrected", "renew_statistics"}
"""Functions that run as the owner, who sees every ledger: a number over all of them, for /health/ready; and the erasure's, which
are the jobs' alone (tests/storage/test_erasure.py)."""


def held(connection: Connection, role: str, table: str) -> set[str]:
    """What `role` may do with a table or with any column of it, by whatever way."""
    query = text(
        "select privilege from unnest(cast(:privileges as text[])) privilege where has_table_privilege(:role, :name, privilege)"
        " or privilege in ('select', 'insert', 'update') and has_any_column_privilege(:role, :name, privilege)"
    )
    return set(connection.scalars(query, {"privileges": list(PRIVILEGES), "role": role, "name": f"debitum.{table}"}))


def names(connection: Connection, kinds: str) -> set[str]:
    """Of what there is in the schema, of these kinds (pg_class.relkind)."""
    query = text(
        "select relname from pg_class where relnamespace = 'debitum'::regnamespace and relkind = any(cast(:kinds as text[]))"
    )
    return set(connection.scalars(query, {"kinds": list(kinds)}))


def test_the_roles_can_do_nothing_but_be_taken(connection: Connection) -> None:
    rows = connection.execute(
        text(
            "select rolname, rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication or rolcanlogin as is_more"
            " from pg_roles where rolname = any(:roles)"
        ),
        {"roles": list(roles.ALL)},
    )
    assert {row.rolname: row.is_more for row in rows} == dict.fromkeys(roles.ALL, False)
    taken = connection.execute(
        text(
            "select member::regrole::text as member, roleid::regrole::text as taken from pg_auth_members"
            " where member::regrole::text = any(:roles)"
        ),
        {"roles": list(roles.ALL)},
    )
    assert {(row.member, row.taken) for row in taken} == {(roles.JOBS, "pg_read_all_stats")}


def test_nobody_but_the_owner_makes_anything(connection: Connection) -> None:
    query = text(
        "select rolname from unnest(cast(:roles as text[])) rolname where has_schema_privilege(rolname, 'debitum', 'create')"
        " or has_schema_privilege(rolname, 'public', 'create') or has_database_privilege(rolname, current_database(), 'create')"
    )
    makes = set(connection.scalars(query, {"roles": [*roles.ALL, "public"]}))
    assert makes - {roles.OWNER} == set()
    assert not connection.scalar(text("select has_schema_privilege('public', 'debitum', 'usage')"))


def test_the_api_adds_to_the_log_and_never_changes_it(connection: Connection) -> None:
    assert {table.name: held(connection, roles.API, table.name) for table in tables.LOG} == {
        table.name: {"select", "insert"} for table in tables.LOG
    }


def test_the_api_deletes_what_it_has_a_reason_to_and_no_user(connection: Connection) -> None:
    """To delete a user would take the ledger's head along, whosever it is, and leave the log without an end."""
    deletes = {table for table in names(connection, "rpvmf") if "delete" in held(connection, roles.API, table)}
    assert deletes == {"devices", "login_attempts", "personal_tokens"}


def test_only_the_owner_empties_tables_or_hangs_triggers_on_them(connection: Connection) -> None:
    for role in (roles.API, roles.JOBS, roles.REPORT, "public"):
        for table in names(connection, "rpvmf"):
            assert held(connection, role, table) & {"truncate", "references", "trigger"} == set(), (role, table)
            assert role != "public" or held(connection, role, table) == set(), table


def test_analysts_read_everything_but_secrets_and_write_nothing(connection: Connection) -> None:
    rows = connection.execute(
        text(
            "select relname, attname from pg_attribute join pg_class c on c.oid = attrelid"
            " where relnamespace = 'debitum'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f') and attnum > 0"
            " and not attisdropped and has_column_privilege(:role, c.oid, attnum, 'select')"
        ),
        {"role": roles.REPORT},
    )
    seen = {(row.relname, row.attname) for row in rows}
    per_ledger = {(table.name, column.name) for table in tables.PER_LEDGER for column in table.c}
    other = {(table, column) for table, columns in READ_BY_REPORT.items() for column in columns}
    assert seen == per_ledger - HIDDEN_FROM_REPORT | other
    for table in names(connection, "rpvmf"):
        assert held(connection, roles.REPORT, table) <= {"select"}, table


def test_functions_are_run_by_those_who_were_given_them(connection: Connection) -> None:
    rows = connection.execute(
        text(
            "select proname, has_function_privilege('public', oid, 'execute') as for_all, prosecdef, proconfig::text as settings"
            " from pg_proc where pronamespace = 'debitum'::regnamespace"
        )
    ).all()
    assert [row.proname for row in rows if row.for_all] == []
    assert {row.proname for row in rows if row.prosecdef} == ABOVE_POLICIES
    assert all("search_path=debitum, pg_temp" in row.settings for row in rows if row.prosecdef)


def unsafe_views(connection: Connection) -> set[str]:
    """Views that would read as their owner, who sees every ledger; a materialised one cannot do otherwise."""
    option = "select option_value::boolean from pg_options_to_table(reloptions) where option_name = 'security_invoker'"
    query = (
        "select relname from pg_class where relnamespace = 'debitum'::regnamespace"
        f" and (relkind = 'm' or relkind = 'v' and not coalesce(({option}), false))"
    )
    return set(connection.scalars(text(query)))


def test_a_view_reads_as_whoever_asks_it(connection: Connection) -> None:
    assert unsafe_views(connection) == set()
    body = "as select id from debitum.contacts"
    for name, options in (("safe", "with (security_invoker)"), ("off", "with (security_invoker = off)"), ("unsafe", "")):
        connection.execute(text(f"create view debitum.{name} {options} {body}"))
    connection.execute(text(f"create materialized view debitum.copied {body}"))
    assert unsafe_views(connection) == {"off", "unsafe", "copied"}
