"""A program of its own, for Dagster is big: moves what the daemon remembers of its schedules into the past.

Argument: seconds. For the daemon, which must not run meanwhile, so much time has passed when it is started again.
"""

import sys
import time

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import ScheduleInstigatorData


def main(seconds: float) -> None:
    """Every schedule was last looked at that long ago, and has not ticked since."""
    with DagsterInstance.get() as instance:
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE):
            data = state.instigator_data
            assert isinstance(data, ScheduleInstigatorData)
            ago = time.time() - seconds
            instance.update_instigator_state(state.with_data(ScheduleInstigatorData(data.cron_schedule, ago, ago)))
            instance.purge_ticks(state.instigator_origin_id, state.selector_id, before=time.time())


if __name__ == "__main__":
    main(float(sys.argv[1]))
