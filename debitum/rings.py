"""The keys that a command or a start works with: those of DEBITUM_KEYS, or of the data folder."""

from debitum import database, folders, instance
from debitum.settings import Settings
from storage import embedded, encryption, server
from storage.encryption import KeyRing


def ring(settings: Settings) -> KeyRing | None:
    """The keys of DEBITUM_KEYS or of the data folder; None where there are none yet. Raises DatabaseError."""
    try:
        text = settings.keys or folders.known_key_ring(settings.data_dir)
        return None if text is None else KeyRing.parse(text, place(settings))
    except (folders.FolderError, encryption.KeyRingError) as error:
        raise database.DatabaseError(str(error)) from error


def place(settings: Settings) -> str:
    """Where the keys are: the name of the setting, or the path of the file."""
    return "DEBITUM_KEYS" if settings.keys else str(settings.data_dir / "secrets")


def required(settings: Settings) -> KeyRing:
    """The keys of DEBITUM_KEYS or of the data folder, by which something has been sealed. Raises DatabaseError."""
    if (found := ring(settings)) is None:
        raise database.DatabaseError(f"DEBITUM_KEYS is not set, and there is no {settings.data_dir / 'secrets'}")
    return found


def text(settings: Settings) -> str:
    """The key ring as DEBITUM_KEYS takes it, for the environment of the parts. Raises DatabaseError."""
    required(settings)
    return settings.keys or folders.key_ring(settings.data_dir)


def made(settings: Settings) -> KeyRing:
    """The key ring, drawn now where there is none and nothing is sealed. Not to be called while holding the data folder.

    Raises DatabaseError, FolderError.
    """
    folders.make(settings.data_dir)
    if ring(settings) is None:
        _require_nothing_sealed(settings)
        folders.key_ring(settings.data_dir)
    return required(settings)


def _require_nothing_sealed(settings: Settings) -> None:
    """`debitum migrate` makes a database before there are keys; any other that lacks them has lost them. Raises DatabaseError."""
    if settings.database_url is None and not embedded.exists(settings.data_dir):
        return
    with database.borrowed(settings) as found:
        try:
            sealed = server.holds_ledgers(found.url, "debitum-keys")
        except server.UnreachableError as error:
            raise database.DatabaseError(f"Postgres cannot be asked whether it holds ledgers: {str(error).strip()}") from error
    if sealed:
        raise database.DatabaseError(missing(settings))


def missing(settings: Settings) -> str:
    """What to say where there are no keys, but a database that is sealed by some."""
    return (
        f"{settings.data_dir / 'secrets'} is missing, and this database is sealed by the keys that were in it: put it back, "
        "set DEBITUM_KEYS to them, or restore a backup that has them"
    )


def sealing(settings: Settings) -> KeyRing:
    """The key ring, to seal by; refused where the running servers lack its newest key. Raises DatabaseError."""
    keys, note = required(settings), instance.holder(settings.data_dir)
    if note is not None and note.key_ids and keys.current not in note.key_ids:
        raise database.DatabaseError(f"`debitum up` was started before {keys.current} was drawn: restart it first")
    return keys
