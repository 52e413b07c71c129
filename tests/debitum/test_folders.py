"""The data folder: modes, and the keys that are made once."""

import base64
import fcntl
import threading
from pathlib import Path

import pytest

from debitum import folders, instance
from storage import encryption


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_private_folders_are_for_their_owner(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir(mode=0o755)
    folders.make(tmp_path)
    assert {name: mode(tmp_path / name) for name in folders.PRIVATE} == dict.fromkeys(folders.PRIVATE, 0o700)


def test_the_key_ring_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    ring = folders.key_ring(tmp_path)
    _, encoded = ring.split(":")
    assert len(base64.b64decode(encoded, validate=True)) == 32
    assert mode(tmp_path / "secrets") == 0o600
    (tmp_path / "secrets").chmod(0o644)
    assert folders.key_ring(tmp_path) == ring
    assert mode(tmp_path / "secrets") == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secrets"]


@pytest.mark.parametrize(("content", "said"), [(b"", "is empty: .*backup"), (b"\xff\xfe", "holds bytes that are no text")])
def test_lost_keys_are_not_replaced_in_silence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "secrets").write_bytes(content)
    with pytest.raises(folders.FolderError, match=said):
        folders.key_ring(tmp_path)


def test_no_other_ring_has_the_id_of_a_new_one() -> None:
    """So that the keys of two data folders can be in one ring."""
    assert len({encryption.new_ring().partition(":")[0] for _ in range(100)}) == 100


def test_one_supervisor_holds_a_folder(tmp_path: Path) -> None:
    note = instance.Note(1, "2026-11-22T20:00:00+00:00", {"api": "http://127.0.0.1:8000"})
    with instance.claim(tmp_path) as held:
        held.write(note)
        assert mode(tmp_path / "up.json") == mode(tmp_path / "up.lock") == 0o600
        with pytest.raises(instance.AlreadyRunningError) as refused, instance.claim(tmp_path):
            pass
        assert refused.value.note == note
        assert instance.holder(tmp_path) == note
    assert instance.holder(tmp_path) is None
    assert not (tmp_path / "up.json").exists()


def test_who_only_looks_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text('{"pid": 1, "started_at": "2026-11-22T20:00:00+00:00"}')  # of one that was killed
    with (tmp_path / "up.lock").open("w") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        done = threading.Timer(0.1, looked_at.close)
        done.start()
        with instance.claim(tmp_path):
            done.join()


def test_a_note_that_a_killed_supervisor_left_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text("{")
    assert instance.holder(tmp_path) is None
    with instance.claim(tmp_path) as held:
        assert held.unclean
