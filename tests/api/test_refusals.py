"""`python -m api` with settings that must not be served with: it ends with 2, and says which one is wrong."""

import base64
from contextlib import closing
from pathlib import Path

import pytest

from api.settings import Settings, SettingsError
from storage.encryption import new_ring
from tests.fixtures.process import Process

PRODUCTION = {"DEBITUM_ENV": "production"}
ZEROS = f"k1:{base64.b64encode(bytes(32)).decode()}"


DIRECT, POOLED = "postgresql://u@h/d", "postgresql://u@p:6432/d?pooler=transaction"


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DEBITUM_KEYS": ""}, "DEBITUM_KEYS is not set"),
        ({**PRODUCTION, "DEBITUM_KEYS": ZEROS}, "DEBITUM_KEYS: the key 'k1' is not random"),
        ({**PRODUCTION, "DEBITUM_PUBLIC_URL": "http://debitum.example.org"}, "DEBITUM_PUBLIC_URL: "),
        ({**PRODUCTION, "DEBITUM_HOST": "0.0.0.0"}, "DEBITUM_PUBLIC_URL: not set"),
        ({**PRODUCTION, "DEBITUM_CORS_ORIGINS": "*"}, "DEBITUM_CORS_ORIGINS: "),
        ({"DEBITUM_CORS_ORIGINS": "*"}, "DEBITUM_CORS_ORIGINS: "),
        ({"DEBITUM_PORT": "99999"}, "DEBITUM_PORT: '99999' is not a whole number from 0 to 65535"),
        ({"DEBITUM_WORKERS": "0"}, "DEBITUM_WORKERS: '0' is not a whole number from 1 to 64"),
        ({"DEBITUM_TRUSTED_PROXIES": "٣"}, "DEBITUM_TRUSTED_PROXIES: '٣' is not a whole number from 0 to"),
        ({"DATABASE_URL": POOLED}, "DATABASE_DIRECT_URL: must lead to Postgres itself"),
        ({"DATABASE_URL": POOLED, "DATABASE_DIRECT_URL": POOLED}, "DATABASE_DIRECT_URL: must lead to Postgres itself"),
        ({"DATABASE_URL": f"{POOLED}s", "DATABASE_DIRECT_URL": DIRECT}, "DATABASE_URL: pooler=transactions is none of"),
    ],
    ids=str,
)
def test_settings_that_are_refused(environment: dict[str, str], said: str) -> None:
    given = {"DATABASE_URL": "postgresql://nobody@localhost:1/nothing", "DEBITUM_KEYS": new_ring(), **environment}
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(given)
    assert str(refused.value).startswith(said)
    assert ZEROS not in str(refused.value)


async def test_it_refuses_to_start(tmp_path: Path) -> None:
    unsafe = {**PRODUCTION, "DEBITUM_KEYS": ZEROS}
    with closing(Process(tmp_path, "postgresql://nobody@localhost:1/nothing", 1, environment=unsafe)) as refused:
        assert await refused.gave_up() == 2
        [said] = refused.said("cannot_start")
        assert said["reason"].startswith("DEBITUM_KEYS: the key 'k1' is not random")
        assert ZEROS not in refused.last_words()


async def test_production_serves_on_loopback_and_by_https(tmp_path: Path, database_url: str) -> None:
    for given in ({}, {"DEBITUM_PUBLIC_URL": "https://debitum.example.org"}):
        with closing(Process(tmp_path, database_url, 1, environment=PRODUCTION | given)) as running:
            await running.listens()
