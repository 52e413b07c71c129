"""How jobs are spread is said by settings: what is default, what is refused, and that nothing of Celery is needed otherwise."""

import os
from collections.abc import Mapping
from subprocess import CompletedProcess

import pytest

from pipelines import spread
from tests.fixtures.loaded import Loaded

REDIS = "redis://:hunter2@broker/0"
MAP = """
import sys
from pipelines.definitions import defs
for name in ("materialise_balances", "check_balances", "resum_balances", "remind", "dispatch", "finish_snapshots"):
    job = defs.resolve_job_def(name)
    print(name, job.executor_def.name, len([step for node in job.nodes for step in getattr(node.definition, "nodes", [node])]))
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("celery", "dagster_celery", "kombu")))
"""


def mapped(loaded: Loaded, environment: Mapping[str, str]) -> "CompletedProcess[str]":
    """The code location in a process of its own: it reads the environment when it is loaded."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEBITUM_")}
    return loaded.run(MAP, environment={**kept, **environment})


def test_by_default_a_run_is_one_process_and_balances_one_step(loaded: Loaded) -> None:
    found = mapped(loaded, {})
    assert found.stdout.splitlines() == [
        "materialise_balances in_process 2",
        "check_balances in_process 1",
        "resum_balances in_process 1",
        "remind in_process 4",
        "dispatch in_process 1",
        "finish_snapshots in_process 10",
        "",
    ], found.stderr


def test_buckets_are_steps_of_the_same_job(loaded: Loaded) -> None:
    found = mapped(loaded, {"DEBITUM_BALANCE_BUCKETS": "4"})
    assert found.stdout.splitlines()[0] == "materialise_balances in_process 6", found.stderr  # four, their report, the check


def test_celery_is_asked_for_in_vain_where_it_is_not_installed(loaded: Loaded) -> None:
    found = mapped(loaded, {"DEBITUM_EXECUTOR": "celery", "DEBITUM_CELERY_BROKER": REDIS})
    assert found.returncode != 0
    assert "celery needs the package dagster-celery, which has to be installed beside Debitum" in found.stderr
    assert "hunter2" not in found.stderr


@pytest.mark.parametrize("value", ["0", "65", "-1", "two", ""])
def test_a_number_of_buckets_that_makes_no_sense(value: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number from 1 to 64"):
        spread.buckets(value)


def test_results_go_where_the_broker_can_keep_them() -> None:
    found = spread.celery({"DEBITUM_CELERY_BROKER": REDIS})
    assert (found.backend, found.is_redis, found.processes, found.takeover_seconds) == (REDIS, True, None, 120)
    found = spread.celery({"DEBITUM_CELERY_BROKER": "amqp://u:p@broker//", "DEBITUM_CELERY_PROCESSES": "3"})
    assert (found.backend, found.is_redis, found.processes) == ("rpc://", False, 3)
    found = spread.celery({"DEBITUM_CELERY_BROKER": "amqp://broker", "DEBITUM_CELERY_BACKEND": REDIS})
    assert (found.broker, found.backend) == ("amqp://broker", REDIS)
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "DEBITUM_CELERY_BROKER: must be a URL of redis, "),
        ({"DEBITUM_CELERY_BROKER": "hunter2"}, "DEBITUM_CELERY_BROKER: must be"),
        ({"DEBITUM_CELERY_BROKER": "https://hunter2"}, "DEBITUM_CELERY_BROKER: must be"),
        ({"DEBITUM_CELERY_BROKER": REDIS, "DEBITUM_CELERY_TAKEOVER_SECONDS": "4"}, "DEBITUM_CELERY_TAKEOVER_SECONDS: '4' is not"),
        ({"DEBITUM_CELERY_BROKER": REDIS, "DEBITUM_CELERY_PROCESSES": "x"}, "DEBITUM_CELERY_PROCESSES: 'x' is not"),
    ],
)
def test_what_cannot_be_used_is_named_and_no_url_repeated(given: Mapping[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        spread.celery(given)
    assert "hunter2" not in str(refused.value)
