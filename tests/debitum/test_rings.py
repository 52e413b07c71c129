"""The keys of a start: drawn where nothing is sealed yet, and never beside what others have sealed."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from debitum import rings, settings
from debitum.database import DatabaseError
from tests.storage.test_ledgers import RING, new_ledger


def load(data_dir: Path, database_url: str) -> settings.Settings:
    return settings.load({"DEBITUM_DATA_DIR": str(data_dir), "DATABASE_URL": database_url}, data_dir / "no.env")


def test_keys_are_drawn_only_where_nothing_is_sealed(tmp_path: Path, database: Engine, database_url: str) -> None:
    loaded, secrets = load(tmp_path, database_url), tmp_path / "secrets"
    drawn = rings.made(loaded)
    assert rings.made(loaded) == drawn
    assert rings.text(loaded) == secrets.read_text().strip()
    secrets.unlink()
    new_ledger(database)
    with pytest.raises(DatabaseError, match=r"secrets is missing, and this database is sealed by .*: put it back"):
        rings.made(loaded)
    assert not secrets.exists()
    secrets.write_text(RING)
    assert rings.made(loaded).current == "k1"


@pytest.mark.parametrize("content", ["hunter2", "k1:hunter2", "k1:aHVudGVyMg=="])
def test_a_file_that_is_no_ring_is_named_and_not_shown(tmp_path: Path, content: str) -> None:
    (tmp_path / "secrets").write_text(content)
    with pytest.raises(DatabaseError, match="secrets: ") as caught:
        rings.required(load(tmp_path, "postgresql:///none"))
    assert "hunter2" not in str(caught.value)
    assert "DEBITUM_KEYS" not in str(caught.value)
