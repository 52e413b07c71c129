"""What a provider told of an address goes with its user in any case; an erasure counts it now, like every other table's rows."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before calls the same function."""
    op.execute(COUNTED_BY_THE_ERASURE)


# Some databases have it already: for a while, migration 0011 did this.
COUNTED_BY_THE_ERASURE = """
    do $$
    declare
        before text := pg_get_functiondef('debitum.erase_user'::regproc);
        after text := replace(before, 'array[''sessions'', ', 'array[''mail_events'', ''sessions'', ');
    begin
        if position('''mail_events''' in before) = 0 then
            assert before <> after;
            execute after;
        end if;
    end
    $$
"""
