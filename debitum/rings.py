"""The keys that a command or a start works with: those of DEBITUM_KEYS, or of the data folder."""

from debitum import database, folders, instance
from debitum.settings import Settings
from storage import encryption
from storage.encryption import KeyRing


def ring(settings: Settings) -> KeyRing | None:
    """The keys of DEBITUM_KEYS or of the data folder; None where there are none yet. Raises DatabaseError."""
    try:
        text = settings.keys or folders.known_key_ring(settings.data_dir)
        return None if text is None else KeyRing.parse(text)
    except (folders.FolderError, encryption.KeyRingError) as error:
        raise database.DatabaseError(str(error)) from error


def required(settings: Settings) -> KeyRing:
    """The same, where something has been sealed. Raises DatabaseError."""
    if (found := ring(settings)) is None:
        raise database.DatabaseError(f"DEBITUM_KEYS is not set, and there is no {settings.data_dir / 'secrets'}")
    return found


def made(settings: Settings) -> KeyRing:
    """The same; into a data folder that has none they are drawn. Raises DatabaseError, FolderError."""
    folders.make(settings.data_dir)
    if settings.keys is None:
        folders.key_ring(settings.data_dir)
    return required(settings)


def sealing(settings: Settings) -> KeyRing:
    """The same, to seal by: what the servers of this data folder lack would be lost to them. Raises DatabaseError."""
    keys, note = required(settings), instance.holder(settings.data_dir)
    if note is not None and note.key_ids and keys.current not in note.key_ids:
        raise database.DatabaseError(f"`debitum up` was started before {keys.current} was drawn: restart it first")
    return keys
