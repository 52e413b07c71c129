"""The embedded server's beginnings."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from storage import embedded
from tests.fixtures import memory

ORDINARY = 65_534
"""The id of `nobody`, who owns nothing."""
START_TWICE = """
import os, sys
from pathlib import Path
import psycopg
from storage import embedded

folder, foreign, ordinary = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
os.setgroups([])
os.setgid(ordinary)
os.setuid(ordinary)
embedded.start(folder)
lock = folder / "pgdata" / "postmaster.pid"
_, *lines = lock.read_text().splitlines()
embedded.stop(folder, mode="immediate")
lock.write_text("\\n".join([foreign, *lines]) + "\\n")  # as after a reboot that gave the number to another
print(embedded.start(folder).pid)
embedded.stop(folder, mode="immediate")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root somebody else's Postgres passes through our folders")
def test_a_start_that_fails_leaves_the_folders_above_as_unreadable_as_they_were(tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir(mode=0o700)
    (above / "data" / "pgdata").mkdir(parents=True)
    (above / "data" / "pgdata" / "something").touch()
    with pytest.raises(embedded.EmbeddedServerError):
        embedded.start(above / "data")
    assert above.stat().st_mode & 0o777 == 0o711


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_elses_postgres_is_in_nobodys_way(database_url: str) -> None:
    """Where a process of another user's stands, an ordinary user may not know."""
    with psycopg.connect(database_url) as connection, tempfile.TemporaryDirectory(dir=memory.home()) as folder:
        os.chown(folder, ORDINARY, ORDINARY)
        foreign = str(connection.info.backend_pid)
        command = [sys.executable, "-c", START_TWICE, folder, foreign, str(ORDINARY)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.strip() != foreign


def test_the_locale_of_whoever_starts_it_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over SSH, which hands on the locale of another machine."""
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    with psycopg.connect(embedded.start(tmp_path).url) as connection:
        found = connection.execute("select distinct datcollate, datctype from pg_database").fetchall()
    embedded.stop(tmp_path, mode="immediate")
    assert found == [(embedded.LOCALE, embedded.LOCALE)]
    assert os.environ["LC_ALL"] == "xx_XX.UTF-8"
