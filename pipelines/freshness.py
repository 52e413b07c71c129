"""How old assets may become: Dagster marks one that nothing has written for longer."""

import datetime
from typing import Final

import dagster as dg

HOUR: Final = datetime.timedelta(hours=1)

OFTEN: Final = dg.FreshnessPolicy.time_window(fail_window=2 * HOUR, warn_window=HOUR)
"""What is written every few minutes."""
HOURLY: Final = dg.FreshnessPolicy.time_window(fail_window=26 * HOUR, warn_window=3 * HOUR)
"""What is written every hour, or as DEBITUM_SNAPSHOT_CRON says, once a day at least."""
DAILY: Final = dg.FreshnessPolicy.time_window(fail_window=50 * HOUR, warn_window=26 * HOUR)
"""What is written every night."""
MONTHLY: Final = dg.FreshnessPolicy.time_window(fail_window=35 * 24 * HOUR, warn_window=32 * 24 * HOUR)
"""What is written on the first of a month."""
