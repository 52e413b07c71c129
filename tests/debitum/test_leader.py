"""One daemon a database."""

import asyncio

import psycopg
import pytest

from debitum import leader
from storage import urls
from tests.debitum.test_children import heard, until


class Daemon:
    """Counts its runs, and says whether it runs."""

    def __init__(self) -> None:
        self.runs = 0
        self.running = False

    async def run(self) -> None:
        self.runs += 1
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False


async def test_a_second_supervisor_waits_for_its_turn(database_url: str) -> None:
    first, second, said = Daemon(), Daemon(), list[str]()
    one = asyncio.create_task(leader.run_alone(database_url, first.run, heard(said), ask_seconds=0.05))
    await until(lambda: first.running)
    two = asyncio.create_task(leader.run_alone(database_url, second.run, heard(said), ask_seconds=0.05))
    await until(lambda: said)
    await asyncio.sleep(0.2)
    assert not second.running
    assert ["waits for its turn" in text for text in said] == [True]
    async with leader.led_briefly(database_url) as alone:
        assert not alone
    one.cancel()
    await until(lambda: second.running)
    assert not first.running
    two.cancel()
    await asyncio.gather(one, two, return_exceptions=True)


async def test_a_daemon_that_fails_is_noticed_and_the_lock_is_given_up(database_url: str) -> None:
    async def fails() -> None:
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        await asyncio.wait_for(leader.run_alone(database_url, fails, heard([]), ask_seconds=0.05), timeout=10)
    async with leader.led_briefly(database_url) as alone:
        assert alone


async def test_a_lost_connection_stops_the_daemon_until_the_lock_is_ours_again(database_url: str) -> None:
    daemon, said = Daemon(), list[str]()
    task = asyncio.create_task(leader.run_alone(database_url, daemon.run, heard(said), ask_seconds=0.05))
    await until(lambda: daemon.running)
    async with await psycopg.AsyncConnection.connect(urls.libpq_url(database_url), autocommit=True) as connection:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s and datname = current_database()",
            ("debitum-leader",),
        )
    await until(lambda: daemon.runs == 2 and daemon.running)
    assert "is lost" in said[0]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
