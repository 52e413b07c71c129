"""An erasure locks the user's sessions before it removes their tokens, as a refresh does: the other way round they deadlocked."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply; the code of the revision before calls the same function."""
    op.execute(SESSIONS_FIRST)


SESSIONS_FIRST = """
    do $$
    declare
        before text := pg_get_functiondef('debitum.erase_user'::regproc);
        after text := replace(
            before, 'delete from refresh_tokens r using', 'perform from sessions s where s.user_id = who for update;
    delete from refresh_tokens r using'
        );
    begin
        assert before <> after;
        execute after;
    end
    $$
"""
