"""`debitum keys`: which keys seal what, a new key, and sealing everything by it while the servers run."""

from typing import Final

from sqlalchemy import Engine

from debitum import folders, rings, schema
from debitum.commands import Say
from debitum.database import DatabaseError
from debitum.settings import Settings
from storage import encryption, engine, roles, rotation, server
from storage.encryption import KeyRing
from storage.rotation import InUse

APPLICATION_NAME: Final = "debitum-keys"
REMEDY: Final = "put back the DEBITUM_KEYS, or the file secrets, that it had, or restore a backup that has the keys"


def show(settings: Settings, say: Say) -> bool:
    """Say how many ledgers each key seals. False: one is missing, or is another than what sealed them. Raises DatabaseError."""
    keys = rings.required(settings)
    with schema.opened(settings, APPLICATION_NAME) as opened:
        used = {one.key_id: one for one in _in_use(opened, keys)}
    for key_id in keys.keys:
        one = used.get(key_id, InUse(key_id, 0, "opens"))
        of_the_name = "" if one.state == "opens" else ", but it is not the one that sealed them"
        say(f"{key_id}: seals {one.ledgers} ledgers{', current' if key_id == keys.current else ''}{of_the_name}")
    for one in used.values():
        if one.state == "missing":
            say(f"{one.key_id}: seals {one.ledgers} ledgers, and is missing")
    return all(one.state == "opens" for one in used.values())


def require_opening(url: str, keys: KeyRing) -> None:
    """Refuse a ring that does not open what the database of `url` holds. Raises DatabaseError."""
    if objection := unopened(url, keys):
        raise DatabaseError(f"{objection}: {REMEDY}")


def unopened(url: str, keys: KeyRing) -> str:
    """Which keys in use the ring lacks, or has others of; empty where it opens one ledger of each. Raises DatabaseError."""
    try:
        if not server.holds_ledgers(url, APPLICATION_NAME):
            return ""
    except server.UnreachableError as error:
        raise DatabaseError(f"Postgres cannot be asked which keys are in use: {str(error).strip()}") from error
    with engine.temporary(url, APPLICATION_NAME) as opened:
        return ", and ".join(_objection(one) for one in _in_use(opened, keys) if one.state != "opens")


def _in_use(opened: Engine, keys: KeyRing) -> list[InUse]:
    with roles.transaction(opened, roles.OWNER) as connection:
        return rotation.in_use(connection, keys)


def _objection(one: InUse) -> str:
    if one.state == "missing":
        return f"key {one.key_id}, which sealed {one.ledgers} ledgers of this database, is missing"
    return f"key {one.key_id} is not the one that sealed {one.ledgers} ledgers of this database"


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
    with schema.opened(settings, APPLICATION_NAME) as opened:
        done = rotation.rotate(opened, keys)
    say(f"{done.data_keys} data keys are sealed by {keys.current} now, {done.push_targets} push targets are found by it")
    if others := [key_id for key_id in keys.keys if key_id != keys.current]:
        say(f"nothing needs {', '.join(others)} any more, but tokens of the last minutes and backups: `debitum keys list`")
