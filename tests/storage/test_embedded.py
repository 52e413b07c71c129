"""The embedded server's beginnings."""

import os
from pathlib import Path

import pytest

from storage import embedded


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root somebody else's Postgres passes through our folders")
def test_a_start_that_fails_leaves_the_folders_above_as_unreadable_as_they_were(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir(mode=0o700)
    (above / "data" / "pgdata").mkdir(parents=True)
    (above / "data" / "pgdata" / "something").touch()
    with pytest.raises(embedded.EmbeddedServerError):
        embedded.start(above / "data")
    assert above.stat().st_mode & 0o777 == 0o711
