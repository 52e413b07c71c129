"""The file of a backup: what is in it comes out, to who may; whatever is changed, moved or cut off is found."""

import datetime
import io
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from storage.backup import container, passphrase
from storage.backup.container import Keys, Opened, Secrets, Stretch
from storage.backup.errors import BackupError, DamagedError
from storage.encryption import KeyRing, new_key

RING = new_key("k1")
BY_KEY = Secrets(None, KeyRing.parse(RING))
PHRASE = "correct horse battery staple"
BY_PHRASE = Secrets(PHRASE, None)
NOW = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
CHUNKS = (b"Federleicht " * 40, b"Quittenbaum " * 40, b"Samowar " * 20)


def write(path: Path, secrets: Secrets = BY_KEY, *chunks: bytes, ring: str | None = None) -> Path:
    head = container.head(secrets, began_at=NOW, settled_at=NOW, revision="0015", version="0.1.0", postgres=18)
    with container.new_file(path) as file:
        writer = container.Writer(file, head, secrets.key(head))
        writer.keys(Keys(ring))
        for chunk in chunks or CHUNKS:
            writer.dump(chunk)
        writer.end(ledgers=3, facts=17)
    return path


def content(path: Path, secrets: Secrets = BY_KEY) -> bytes:
    return b"".join(Opened.of(path, secrets).chunks())


@pytest.mark.parametrize("secrets", [BY_KEY, BY_PHRASE], ids=["key", "passphrase"])
def test_what_is_in_it_comes_out_and_nothing_can_be_read(tmp_path: Path, secrets: Secrets) -> None:
    path = write(tmp_path / "a", secrets, ring=RING)
    opened = Opened.of(path, secrets)
    assert (b"".join(opened.chunks()), opened.keys.ring) == (b"".join(CHUNKS), RING)
    assert (opened.end.ledgers, opened.end.facts, opened.head.began_at) == (3, 17, NOW)
    raw = path.read_bytes()
    assert [word for word in (b"Federleicht", b"Quittenbaum", RING.encode(), PHRASE.encode()) if word in raw] == []
    assert path.stat().st_mode & 0o777 == 0o600
    assert container.peek(path).sealed_by() in ("a passphrase", "the key k1 of the ring")


def test_the_same_never_looks_the_same(tmp_path: Path) -> None:
    """A nonce that is used twice under one key would give what it seals away."""
    twice = [write(tmp_path / name, BY_KEY, *[b"the same"] * 20) for name in "ab"]
    sealed = [piece for path in twice for piece in pieces(path.read_bytes())[1:-1]]
    assert len(set(sealed)) == len(sealed) == 2 * (20 + 2)
    kinds = (container.KEYS, container.END, *[container.DUMP] * 20)
    assert len({container._nonce(kind, number) for number, kind in enumerate(kinds)}) == len(kinds)
    assert container._nonce(container.KEYS, 0) != container._nonce(container.END, 0)


def test_whatever_byte_is_changed_it_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BackupError):
            content(path)
    path.write_bytes(whole)
    assert content(path) == b"".join(CHUNKS)


def test_wherever_it_is_cut_off_it_is_found_when_it_is_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(BackupError):
            Opened.of(path, BY_KEY)
    path.write_bytes(whole + b"\0")
    with pytest.raises(DamagedError):
        Opened.of(path, BY_KEY)


def pieces(whole: bytes) -> list[bytes]:
    """The head with what is before it, each piece with its length, and the last length."""
    file = io.BytesIO(whole)
    found = [file.read(len(container.MAGIC))]
    while len(rest := file.read(4)) == 4 and (content := file.read(int.from_bytes(rest))):
        found.append(rest + content)
    return [found[0] + found[1], *found[2:], rest]


@pytest.mark.parametrize("change", ["swapped", "left out", "twice", "of another"])
def test_pieces_that_are_moved_left_out_or_of_another_backup_are_found(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "a")
    head, keys, first, second, third, *end = pieces(path.read_bytes())
    other = pieces(write(tmp_path / "b").read_bytes())
    order = {
        "swapped": [second, first, third],
        "left out": [first, third],
        "twice": [first, second, third, third],
        "of another": [first, other[3], third],
    }[change]
    path.write_bytes(b"".join([head, keys, *order, *end]))
    with pytest.raises(DamagedError):
        content(path)


def test_who_lacks_the_secret_is_told_which_it_is(tmp_path: Path) -> None:
    by_phrase, by_key = write(tmp_path / "a", BY_PHRASE), write(tmp_path / "b")
    for path, secrets, said in (
        (by_phrase, BY_KEY, "set DEBITUM_BACKUP_PASSPHRASE_FILE"),
        (by_phrase, Secrets("another passphrase", None), "the passphrase is another one"),
        (by_key, BY_PHRASE, "sealed by the key k1 of the ring"),
        (by_key, Secrets(None, KeyRing.parse(new_key("k1"))), "the key k1 is another one"),
    ):
        with pytest.raises(BackupError, match=said):
            Opened.of(path, secrets)


def test_what_is_none_or_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"PGDMP" + bytes(100))
    with pytest.raises(BackupError, match="is not a backup"):
        Opened.of(path, BY_KEY)
    head = msgspec.json.encode({"format": 2})
    path.write_bytes(container.MAGIC + len(head).to_bytes(4) + head)
    with pytest.raises(BackupError, match="is of format 2"):
        Opened.of(path, BY_KEY)
    with pytest.raises(BackupError, match="cannot be read: No such file"):
        Opened.of(tmp_path / "b", BY_KEY)


def test_a_file_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    head = container.head(BY_PHRASE, began_at=NOW, settled_at=NOW, revision="0015", version="0.1.0", postgres=18)
    greedy = msgspec.structs.replace(head, stretch=Stretch(salt=bytes(32), memory_kib=2**31))
    with pytest.raises(DamagedError, match="beyond all measure"):
        BY_PHRASE.key(greedy)
    for small in (Stretch(salt=bytes(4)), Stretch(salt=bytes(32), memory_kib=8, lanes=4)):
        with pytest.raises(DamagedError, match="no key can be made as it asks"):
            BY_PHRASE.key(msgspec.structs.replace(head, stretch=small))


def test_a_file_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), container.new_file(tmp_path / "a") as file:
        file.write(bytes(1 // 0))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").write_text("mine")
    with pytest.raises(BackupError, match="is there already"):
        write(tmp_path / "a")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    chunk = bytes(container.CHUNK_BYTES)
    tracemalloc.start()
    try:
        path = write(tmp_path / "a", BY_KEY, *(chunk for _ in range(48)))
        Opened.of(path, BY_KEY).prove()
        assert tracemalloc.get_traced_memory()[1] < 12 * container.CHUNK_BYTES
    finally:
        tracemalloc.stop()


def test_a_passphrase_comes_from_one_place_and_is_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text(f"{PHRASE}\n")
    in_file = {passphrase.FILE_SETTING: str(file)}
    assert passphrase.read({}) is None
    assert passphrase.read({passphrase.SETTING: PHRASE}) == passphrase.read(in_file) == PHRASE
    for wrong, said in (
        ({**in_file, passphrase.SETTING: PHRASE}, "both set"),
        ({passphrase.SETTING: "too short"}, "12 characters"),
        ({passphrase.FILE_SETTING: "passphrase"}, "not an absolute path"),
        ({passphrase.FILE_SETTING: str(tmp_path / "absent")}, "cannot be read"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            passphrase.read(wrong)
        assert "too short" not in str(caught.value)
    file.write_text("one\ntwo\n")
    with pytest.raises(ValueError, match="one line"):
        passphrase.read(in_file)
