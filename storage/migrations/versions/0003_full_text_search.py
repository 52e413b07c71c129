"""What search looks at: the words of contacts and transactions, beside their texts."""

import json

import sqlalchemy as sa
from alembic import op

from domain import words

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXTS = {"contacts": {"A": "name", "B": "username", "C": "notes"}, "transactions": {"A": "item", "B": "description"}}
BATCH = 1_000


def upgrade() -> None:
    """Apply; the code of the revision before leaves `words` of what it writes empty: it is found after a rebuild."""
    connection = op.get_bind()
    for table, texts in TEXTS.items():
        op.execute(f"alter table debitum.{table} add column words tsvector")
        op.execute(f"comment on column debitum.{table}.words is 'what search looks at, from domain/words.py'")
        columns = ", ".join(texts.values())
        read = sa.text(
            f"select ledger_id::text, id::text, {columns} from debitum.{table}"
            " where (ledger_id, id) > (cast(:ledger as uuid), cast(:id as uuid)) order by ledger_id, id limit :batch"
        )
        write = sa.text(
            f"update debitum.{table} t set words = w.words::tsvector"
            " from json_to_recordset(cast(:rows as json)) as w(ledger_id uuid, id uuid, words text)"
            " where t.ledger_id = w.ledger_id and t.id = w.id"
        )
        place = {"ledger": "00000000-0000-0000-0000-000000000000", "id": "00000000-0000-0000-0000-000000000000"}
        while rows := connection.execute(read, place | {"batch": BATCH}).all():
            found = [
                {"ledger_id": row[0], "id": row[1], "words": words.vector(dict(zip(texts, row[2:], strict=True)))} for row in rows
            ]
            connection.execute(write, {"rows": json.dumps(found)})
            place = {"ledger": rows[-1][0], "id": rows[-1][1]}
