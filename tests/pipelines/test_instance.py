"""The settings of Dagster itself: they load, and mean what they are there for."""

import dagster as dg
from sqlalchemy import create_engine, make_url, text

from storage import urls


def test_dagster_takes_all_times_for_utc(database_url: str) -> None:
    """It writes times in its session's zone and compares them with UTC: elsewhere a running job would be overlooked for hours."""
    url = make_url(database_url).update_query_dict({"options": "-ctimezone=America/New_York"})
    kept = create_engine(urls.psycopg2_url(url.render_as_string(hide_password=False), schema="dagster"))
    with kept.connect() as connection:
        assert connection.scalar(text("show timezone")) == "UTC"
        assert connection.scalar(text("show search_path")) == "dagster"
    kept.dispose()


def test_the_settings_load_on_postgres(instance_on_postgres: dg.DagsterInstance) -> None:
    instance = instance_on_postgres
    assert instance.get_runs_count() == 0
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.get_settings("run_retries")["retry_on_asset_or_op_failure"] is False
    limits = instance.get_concurrency_config()
    assert (limits.run_queue_config and limits.run_queue_config.max_concurrent_runs) == 4
    assert limits.pool_config.default_pool_limit == 1
