"""The file that signs us in to Google, read without Google's libraries: those load too slowly to check it at each start."""

import json
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from notifications.channel import SettingError

NEEDED: Final = ("client_email", "private_key", "project_id", "token_uri")


def read(file: Path) -> dict[str, Any]:
    """What the JSON of a service account says. Raises SettingError, which repeats nothing of it: it holds a key."""
    try:
        account = json.loads(file.read_bytes())
        if not isinstance(account, dict) or not all(account.get(name) and isinstance(account[name], str) for name in NEEDED):
            raise ValueError("a member is missing")
        load_pem_private_key(account["private_key"].encode(), None)
    except OSError as error:
        raise SettingError(f"FCM_CREDENTIALS: {file} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError, UnsupportedAlgorithm) as error:
        raise SettingError(f"FCM_CREDENTIALS: {file} is not the JSON file of a service account") from error
    return account
