"""What happens to people with several devices, with truly separate devices over real HTTP and WebSocket."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from client import AnotherAccount, Device, SignedOut, Unavailable, live
from tests.client.conftest import Person, agree, until
from tests.fixtures.api import PASSWORD, Server, of_the_module
from tests.simulation.user import User

pytestmark, database_url, api, alice, bob = of_the_module()

People = Callable[[], Coroutine[Any, Any, Person]]


def lunch(contact_id: str, amount: int = 1_000, **members: Any) -> dict[str, Any]:
    return {"contact_id": contact_id, "direction": "lent", "amount": amount, "currency": "EUR", "description": "lunch", **members}


@asynccontextmanager
async def following(*devices: Device) -> AsyncIterator[None]:
    """All of them stay in sync meanwhile."""
    tasks = [asyncio.create_task(device.follow()) for device in devices]
    try:
        yield
        assert not any(task.done() for task in tasks), tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def two(person: Person) -> tuple[Device, Device]:
    return await person.device("phone"), await person.device("laptop")


async def test_a_crowd_gets_in(people: People) -> None:
    """More than hash at a time: who is told to come again does so by itself."""
    anna, bob = await people(), await people()
    devices = await asyncio.gather(*(person.device() for person in [anna, bob] * 6))
    assert len({device.ledger_id for device in devices}) == 2


async def test_what_one_does_the_others_see_at_once(anna: Person) -> None:
    phone, laptop = await two(anna)
    async with following(phone, laptop):
        ana = phone.create("contact", {"name": "Ana"})
        debt = phone.create("transaction", lunch(ana))
        await until(lambda: laptop.get("transaction", debt))
        assert laptop.balances() == {(ana, "EUR"): 1_000}
        laptop.update("transaction", debt, {"amount": 1_500, "description": None})
        await until(lambda: phone.balances() == {(ana, "EUR"): 1_500})
        assert "description" not in phone.state()["transaction", debt]
        phone.delete("transaction", debt)
        await until(lambda: "deleted_at" in laptop.state()["transaction", debt])
        assert laptop.balances() == {}
    await agree(phone, laptop)


async def test_a_device_shows_what_its_user_did_before_the_server_knows(anna: Person) -> None:
    phone = await anna.device()
    ana = phone.create("contact", {"name": "Ana", "notes": "from work"})
    debt = phone.create("transaction", lunch(ana))
    phone.update("contact", ana, {"notes": None})
    assert phone.shown() == {("contact", ana): {"name": "Ana"}, ("transaction", debt): lunch(ana)}
    assert (phone.state(), phone.pending) == ({}, 3)
    await phone.sync()
    assert phone.shown().keys() == phone.state().keys()
    phone.delete("transaction", debt)
    assert phone.shown().keys() == {("contact", ana)}
    phone.restore("transaction", debt)
    assert phone.get("transaction", debt) == phone.state()["transaction", debt]
    event = phone.log()[-1]["id"]
    phone.undo(event)
    assert phone.get("contact", ana) == {"name": "Ana", "notes": "from work"}
    await phone.sync()
    assert phone.attention().rejections == []
    assert phone.get("contact", ana) == {"name": "Ana", "notes": "from work"}


async def test_creates_at_the_same_moment(anna: Person) -> None:
    devices = [await anna.device(f"device {number}") for number in range(4)]
    for device in devices:
        for number in range(5):
            device.create("contact", {"name": f"contact {number}"})
    await asyncio.gather(*(device.sync() for device in devices))
    assert (await agree(*devices)).version == 20


async def test_several_devices_offline_for_a_while(anna: Person) -> None:
    phone, laptop = await two(anna)
    tablet = await anna.device("tablet")
    ana = phone.create("contact", {"name": "Ana"})
    await agree(phone, laptop, tablet)
    for device, amount in ((phone, 100), (laptop, 20), (tablet, 3)):
        for _ in range(10):
            device.create("transaction", lunch(ana, amount))
    await agree(tablet, phone, laptop)
    assert laptop.balances() == {(ana, "EUR"): 1_230}


async def test_an_offline_edit_of_a_description_meets_an_online_one(anna: Person) -> None:
    phone, laptop = await two(anna)
    ana = phone.create("contact", {"name": "Ana"})
    debt = phone.create("transaction", lunch(ana))
    await agree(phone, laptop)
    phone.update("transaction", debt, {"description": "offline", "due_date": "2027-01-01"})
    laptop.update("transaction", debt, {"description": "online"})
    await laptop.sync()
    await agree(phone, laptop)
    assert laptop.state()["transaction", debt]["description"] == "offline"
    assert laptop.log()[-1]["overwrote"] == {"description": "online"}
    assert laptop.attention().conflicts == []


async def test_an_offline_edit_of_money_meets_an_online_one(anna: Person) -> None:
    """The first stays, both values are kept, and any device can settle it either way; undoing that opens it again."""
    phone, laptop = await two(anna)
    ana = phone.create("contact", {"name": "Ana"})
    debt = phone.create("transaction", lunch(ana))
    await agree(phone, laptop)
    phone.update("transaction", debt, {"amount": 1_100, "description": "offline"})
    laptop.update("transaction", debt, {"amount": 1_200})
    await laptop.sync()
    await agree(phone, laptop)
    assert phone.balances() == {(ana, "EUR"): 1_200}
    assert phone.state()["transaction", debt]["description"] == "offline"
    for device in (phone, laptop):
        [conflict] = device.attention().conflicts
        assert conflict["conflict"] == {"kind": "edit", "kept": {"amount": 1_200}, "offered": {"amount": 1_100}, "with_seq": 3}
    settled = laptop.update("transaction", debt, conflict["conflict"]["offered"], resolves=conflict["id"])
    await agree(laptop, phone)
    assert (phone.balances(), phone.attention().conflicts) == ({(ana, "EUR"): 1_100}, [])
    phone.undo(settled)
    await agree(phone, laptop)
    assert laptop.balances() == {(ana, "EUR"): 1_200}
    assert [fact["id"] for fact in laptop.attention().conflicts] == [conflict["id"]]


@pytest.mark.parametrize("update_comes_first", [True, False])
async def test_an_update_against_a_delete(anna: Person, update_comes_first: bool) -> None:
    phone, laptop = await two(anna)
    ana = phone.create("contact", {"name": "Ana"})
    debt = phone.create("transaction", lunch(ana))
    await agree(phone, laptop)
    phone.update("transaction", debt, {"amount": 5})
    laptop.delete("transaction", debt)
    first, second = (phone, laptop) if update_comes_first else (laptop, phone)
    await first.sync()
    await agree(second, first)
    [conflict] = phone.attention().conflicts
    assert conflict["conflict"]["kind"] == ("delete_vs_edit" if update_comes_first else "edit_of_deleted")
    assert phone.balances() == ({(ana, "EUR"): 5} if update_comes_first else {})
    if update_comes_first:
        phone.delete("transaction", debt, resolves=conflict["id"])
    else:
        phone.restore("transaction", debt, resolves=conflict["id"])
    await agree(phone, laptop)
    assert laptop.attention().conflicts == []
    assert laptop.balances() == ({} if update_comes_first else {(ana, "EUR"): 1_000})


async def test_signing_out_and_in_again_with_a_queue(anna: Person, people: People) -> None:
    phone, laptop = await two(anna)
    ana = phone.create("contact", {"name": "Ana"})
    await agree(phone, laptop)
    phone.create("transaction", lunch(ana, 1))
    await phone.logout()
    phone.create("transaction", lunch(ana, 2))
    with pytest.raises(SignedOut):
        await phone.sync()
    assert phone.pending == 2
    device_id = phone.id
    await phone.login(anna.email, PASSWORD)
    assert phone.id == device_id
    await agree(phone, laptop)
    assert laptop.balances() == {(ana, "EUR"): 3}
    assert {fact["device_id"] for fact in laptop.log()} == {device_id}


@pytest.mark.parametrize(
    ("where", "after"),
    [
        *(("cut_after_sent", count) for count in (500, 40_000, 72_000)),
        *(("cut_after_received", count) for count in (1, 2_000, 12_000)),
    ],
)
async def test_a_sync_that_is_interrupted_anywhere(anna: Person, where: str, after: int) -> None:
    """In the middle of a push; of its reply, so that it was taken and nobody told the device; of a page of a pull."""
    phone, wire = await anna.on_a_line()
    laptop = await anna.device("laptop")
    ana = phone.create("contact", {"name": "Ana"})
    await phone.sync()
    for number in range(200):
        phone.create("transaction", lunch(ana, number + 1))
    setattr(wire, where, after)
    with pytest.raises(Unavailable):
        await phone.sync()
    assert wire.cuts == 1
    await agree(phone, laptop)
    assert laptop.balances() == {(ana, "EUR"): 20_100}
    assert laptop.head.version == 201


async def test_the_connection_breaks_again_and_again(anna: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_PAUSE_SECONDS", 0.05)
    phone, wire = await anna.on_a_line()
    laptop = await anna.device("laptop")

    async def disturb() -> None:
        for _ in range(10):
            await asyncio.sleep(0.05)
            wire.cut()

    ana = laptop.create("contact", {"name": "Ana"})
    async with following(laptop, phone):
        await until(lambda: phone.get("contact", ana))
        disturbing = asyncio.create_task(disturb())
        for number in range(100):
            (phone if number % 2 else laptop).create("transaction", lunch(ana, 10))
            await asyncio.sleep(0.005)
        await disturbing
        await until(lambda: phone.head == laptop.head and phone.head.version == 101, 30)
    assert phone.balances() == {(ana, "EUR"): 1_000}


async def test_the_server_goes_down_and_comes_back(anna: Person, api: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_PAUSE_SECONDS", 0.05)
    phone, wire = await anna.on_a_line()
    laptop = await anna.device("laptop")
    async with following(phone, laptop):
        ana = phone.create("contact", {"name": "Ana"})
        await until(lambda: laptop.get("contact", ana) and phone.pending == 0)
        wire.server = None
        wire.cut()
        phone.create("transaction", lunch(ana, 7))
        laptop.create("transaction", lunch(ana, 5))
        await until(lambda: laptop.head.version == 2)
        await asyncio.sleep(0.3)
        assert (phone.pending, phone.head.version) == (1, 1)
        wire.server = api.url
        await until(lambda: phone.head == laptop.head and phone.pending == 0)
    assert phone.balances() == {(ana, "EUR"): 12}


async def test_a_whole_and_an_incremental_resync(anna: Person) -> None:
    phone, laptop = await two(anna)
    ana = phone.create("contact", {"name": "Ana"})
    for number in range(1_200):
        phone.create("transaction", lunch(ana, 1 + number % 7))
    await agree(phone, laptop)
    newcomer = await anna.device("new")
    head, resources = await newcomer.first_screen()
    assert head == phone.head
    assert {(one["kind"], one["id"]) for one in resources} == phone.state().keys()
    assert await newcomer.sync() == head
    assert newcomer.state() == phone.state()
    phone.update("contact", ana, {"notes": "later"})
    await agree(phone, newcomer, laptop)
    assert [fact["seq"] for fact in newcomer.log(1_201)] == [1_202]


async def test_created_changed_and_deleted_in_one_breath(anna: Person) -> None:
    phone, laptop = await two(anna)
    ana = phone.create("contact", {"name": "Ana"})
    for _ in range(20):
        debt = phone.create("transaction", lunch(ana))
        phone.update("transaction", debt, {"amount": 2})
        phone.update("transaction", debt, {"amount": 3, "description": "x"})
        phone.delete("transaction", debt)
    await agree(phone, laptop)
    assert (laptop.balances(), list(laptop.shown())) == ({}, [("contact", ana)])
    assert all(fact["status"] == "accepted" for fact in laptop.log())


async def test_another_device_takes_back_what_one_did(anna: Person) -> None:
    phone, laptop = await two(anna)
    ana = phone.create("contact", {"name": "Ana"})
    debt = phone.create("transaction", lunch(ana))
    edit = phone.update("transaction", debt, {"amount": 9, "description": "typed wrongly"})
    await agree(phone, laptop)
    before = laptop.state()
    laptop.undo(edit)
    await agree(laptop, phone)
    assert (
        phone.state()["transaction", debt]
        == phone.get("transaction", debt)
        == before["transaction", debt]
        | {
            "amount": 1_000,
            "description": "lunch",
        }
    )
    undone = phone.undo(edit)
    await agree(phone, laptop)
    assert [(one["id"], one["code"]) for one in phone.attention().rejections] == [(undone, "already_undone")]
    phone.dismiss(undone)
    assert phone.attention().rejections == []


async def test_two_hundred_mixed_events_on_seven_devices_of_three_people(people: People) -> None:
    dice = random.Random(1)
    households = [
        (person, [await person.device(f"{n}") for n in range(count)])
        for person, count in [(await people(), 3), (await people(), 2), (await people(), 2)]
    ]
    everyone = [(device, User(random.Random(dice.random()))) for _, devices in households for device in devices]
    acts = 0
    while acts < 200:
        device, user = everyone[acts] if acts < len(everyone) else dice.choice(everyone)
        before = device.pending
        user.act(device)
        acts += device.pending - before  # sometimes there is nothing to be done
        if dice.random() < 0.4:
            await device.sync()
    ids: list[set[str]] = []
    for _, devices in households:
        await agree(*devices)
        ids.append({fact["id"] for fact in devices[0].log()})
        mine = {device.id for device in devices}
        assert {fact["device_id"] for fact in devices[0].log()} <= mine
    refused = sum(len(device.attention().rejections) for device, _ in everyone)
    assert sum(len(one) for one in ids) + refused == acts
    assert len(set.union(*ids)) == sum(len(one) for one in ids)
    assert min(len(one) for one in ids) > 20


async def test_a_device_that_belongs_to_somebody_keeps_to_them(anna: Person, people: People) -> None:
    phone = await anna.device()
    phone.create("contact", {"name": "Ana"})
    stranger = await people()
    with pytest.raises(AnotherAccount):
        await phone.login(stranger.email, PASSWORD)
    await phone.sync()
    assert (phone.head.version, phone.pending) == (1, 0)
    other = await stranger.device()
    await other.sync()
    assert other.head.version == 0
