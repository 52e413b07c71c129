"""`debitum keys`: which keys seal what, a new key, and sealing everything by it while the servers run."""

from collections.abc import Callable

from debitum import folders, rings, schema
from debitum.settings import Settings
from storage import encryption, roles, rotation

Say = Callable[[str], object]


def show(settings: Settings, say: Say) -> bool:
    """Say how many ledgers each key seals. False: a key is missing that something is sealed by. Raises DatabaseError."""
    keys = rings.required(settings)
    with schema.opened(settings, "debitum-keys") as engine, engine.begin() as connection:
        roles.enter(connection, roles.OWNER)
        seals = rotation.ledgers_by_key(connection)
    for key_id in keys.keys:
        say(f"{key_id}: seals {seals.pop(key_id, 0)} ledgers{', current' if key_id == keys.current else ''}")
    for key_id, ledgers in seals.items():
        say(f"{key_id}: seals {ledgers} ledgers, and is missing")
    return not seals


def add(settings: Settings, say: Say) -> None:
    """Draw a key: into the data folder, where the keys are there; otherwise for the operator to set. Raises DatabaseError."""
    keys = rings.required(settings)
    number = len(keys.keys) + 1
    while f"k{number}" in keys.keys:
        number += 1
    key = encryption.new_key(f"k{number}")
    if settings.keys is None:
        folders.add_key(settings.data_dir, key)
        say(f"k{number} is the first of {settings.data_dir / 'secrets'} now: restart, then run `debitum keys rotate`")
    else:
        say(f"append this to DEBITUM_KEYS everywhere, restart; move it to the front, restart; run `debitum keys rotate`:\n{key}")


def rotate(settings: Settings, say: Say) -> None:
    """Seal everything by the current key. Raises DatabaseError, KeyRingError."""
    keys = rings.sealing(settings)
    with schema.opened(settings, "debitum-keys") as engine:
        done = rotation.rotate(engine, keys)
    say(f"{done.data_keys} data keys are sealed by {keys.current} now, {done.push_targets} push targets are found by it")
    if others := [key_id for key_id in keys.keys if key_id != keys.current]:
        say(f"nothing needs {', '.join(others)} any more, but tokens of the last minutes and backups: `debitum keys list`")
