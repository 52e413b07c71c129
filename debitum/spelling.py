"""Which names of settings there are, so that one with a slip in it does not pass for one that was not set."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from domain import retention

PREFIX: Final = "DEBITUM_"
"""Of what begins otherwise, other programs have their own."""
NAMES: Final = frozenset(
    PREFIX + name
    for name in (
        *("APP_LINK", "BACKUP_PASSPHRASE", "BACKUP_PASSPHRASE_FILE", "BALANCE_BUCKETS", "CELERY_BACKEND", "CELERY_BROKER"),
        *("CELERY_PROCESSES", "CELERY_TAKEOVER_SECONDS", "CODE_SOCKET", "CORS_ORIGINS", "DAEMON_CEILING_MIB"),
        *("DAGSTER_CEILING_MIB", "DAGSTER_EXPOSED", "DAGSTER_HOST", "DAGSTER_PORT", "DAGSTER_READ_ONLY", "DAGSTER_URL"),
        *("DATA_DIR", "ENV", "EXECUTOR", "HOST", "KEYS", "LOG_FORMAT", "LOG_LEVEL", "METRICS_TOKEN", "NO_DAGSTER", "NO_UI"),
        *("PARTS", "PORT", "PUBLIC_URL", "RATE_AUTH_PER_MINUTE", "RATE_USER_PER_SECOND", "REMINDER_CRON", "SIGNUP"),
        *("SNAPSHOT_CRON", "SNAPSHOT_URL", "TRUSTED_PROXIES", "WORKERS"),
    )
) | {kind.setting for kind in retention.KINDS}
"""Every setting of this prefix that docs/operations.md tells of."""
OTHERS: Final = frozenset({"DEBITUM_SITE", "DEBITUM_SUPERVISED", "DEBITUM_DAGSTER_DATABASE_URL"})
"""Read by the Caddyfile of docs/caddy, and set by the supervisor for its children."""


@dataclass(frozen=True)
class Unread:
    """A setting that nothing reads, and the one that was probably meant; "" where none is like it."""

    name: str
    meant: str

    def __str__(self) -> str:
        return f"{self.name} is no setting" + (f"; {self.meant} is one" if self.meant else "")


def unread(names: Iterable[str]) -> list[Unread]:
    """Those of `names` that have our prefix and that nobody reads, sorted.

    They do not end a start: Kubernetes, for one, sets DEBITUM_SERVICE_HOST beside a service that is called so.
    """
    strange = sorted({name for name in names if name.startswith(PREFIX)} - NAMES - OTHERS)
    return [Unread(name, "".join(difflib.get_close_matches(name, sorted(NAMES), n=1, cutoff=0.85))) for name in strange]
