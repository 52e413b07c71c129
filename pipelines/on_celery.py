"""Steps on Celery's workers. Imported where DEBITUM_EXECUTOR is celery and nowhere else: dagster-celery is no part of Debitum.

A worker tells the broker that a step is done when it is done, and not when it takes it. So a step whose worker has died is
given to another: by RabbitMQ at once, by Redis when it has not heard of the step for DEBITUM_CELERY_TAKEOVER_SECONDS.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
from celery import signals
from celery.apps import worker
from celery.exceptions import TaskRevokedError
from dagster._core.execution.retries import RetryMode
from dagster_celery import config, make_app, tasks
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import CeleryExecutor, _submit_task

from pipelines import spread

LOOKS: Final = 4
"""Times that a worker looks, while a takeover waits, for steps that Redis has not heard of."""
STEPS_OF_A_PROCESS: Final = 200
"""Then it makes room for a new one: each step opens Dagster's storage, and gives not all of its memory back."""
RESULTS_SECONDS: Final = 3_600
"""Longer than any run waits for what its steps have to say."""


@dg.executor(name="celery", requirements=dg.multiple_process_executor_requirements())
def executor(_: dg.InitExecutorContext) -> dg.Executor:
    """A step is a task. Where the broker is, is no configuration: Dagster would keep and show that."""
    return _Executor(retries=RetryMode.ENABLED, **_places())


class _Executor(CeleryExecutor):  # type: ignore[misc]  # says nothing of its types
    """Dagster's, but for what happens to a run that is ended."""

    def execute(self, plan_context: Any, execution_plan: Any) -> Any:
        """Dagster's loop."""
        return core_celery_execution_loop(plan_context, execution_plan, step_execution_fn=_put)


class _Step:
    """A step that was put. Once it is taken back nobody waits for it: of a step that no worker has there will be no result.

    Dagster's loop would wait for ever, in a process that stays behind when its run has long been given up.
    """

    def __init__(self, result: Any) -> None:
        self._result = result
        self._is_taken_back = False

    def ready(self) -> bool:
        """Whether there is something to get."""
        return self._is_taken_back or self._result.ready()

    def get(self) -> Any:
        """Its events. Raises TaskRevokedError."""
        if self._is_taken_back:
            raise TaskRevokedError("the run was ended")
        return self._result.get()

    def revoke(self) -> None:
        """Workers that hear of it do not begin it any more; one that has begun it ends it."""
        self._is_taken_back = True
        self._result.revoke()


def _put(*arguments: Any) -> _Step:
    return _Step(_submit_task(*arguments))


def work(ready: Path) -> None:
    """Be a worker until SIGTERM; take nothing more then, and end what has begun. Makes the file `ready` when it takes steps."""
    from pipelines import location  # before processes are forked, which all have it then

    assert location.defs
    places = _places()
    app = make_app.make_app({**places, "config_source": config.dict_wrapper(places["config_source"])})
    tasks.create_task(app)
    signals.setup_logging.connect(_leave_the_log_to_us, weak=False)
    signals.worker_ready.connect(lambda **_: ready.touch(), weak=False)
    worker.safe_say = _say_nothing
    app.worker_main(["--quiet", "worker", "--hostname", f"debitum-{os.getpid()}@%h", *_concurrency()])


def _concurrency() -> Sequence[str]:
    processes = spread.celery(os.environ).processes
    return ("--concurrency", str(processes)) if processes else ()


def _places() -> Mapping[str, Any]:
    settings = spread.celery(os.environ)
    return {"broker": settings.broker, "backend": settings.backend, "config_source": _configuration(settings)}


def _configuration(settings: spread.Celery) -> Mapping[str, Any]:
    """By Celery's own names; who puts a step and who takes it must agree."""
    ways = dict(config.DEFAULT_CONFIG["broker_transport_options"])
    if settings.is_redis:
        look = max(1, settings.takeover_seconds // LOOKS)
        ways |= {"visibility_timeout": settings.takeover_seconds, "unacked_restore_interval": look, "unacked_restore_throttle": 1}
    return {
        **config.DEFAULT_CONFIG,  # one step at a time for each process: a bucket waits for whoever is free first
        "broker_transport_options": ways,
        "broker_connection_retry_on_startup": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_max_tasks_per_child": STEPS_OF_A_PROCESS,
        "result_expires": RESULTS_SECONDS,
    }


def _leave_the_log_to_us(**_: object) -> None:
    """Celery sets up no handlers where somebody listens to this signal."""


def _say_nothing(*_: object) -> None:
    """What it would print when it is told to stop, which is no line of the log."""
