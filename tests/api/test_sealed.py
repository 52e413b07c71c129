"""What is private lies encrypted in the database, clients notice nothing, and the key can be changed while they write."""

import asyncio
import dataclasses
import io
import json
import uuid
import zipfile

from sqlalchemy import Engine, text

from storage import roles, rotation, verify
from storage.encryption import KeyRing, new_key
from tests.api.test_sync import event, verify_chain
from tests.fixtures.api import Client, Server, serve
from tests.fixtures.dump import dump, found_in

SECRETS = {
    "a phone": "+34 600 111 222",
    "a phone that was replaced": "+34 699 888 777",
    "an address": "canary.ana@example.net",
    "an address that lost": "canary.loser@example.net",
    "a phone in a refused command": "+34 611 000 999",
    "a push target": "dQw4w9WgXcQ:APA91bCANARY",
}


async def use(alice: Client, api: Server) -> str:
    """Bring every secret into the database, in every way that there is; the id of the contact."""
    ana = event("contact", "CREATED", {"name": "Ana", "phone": SECRETS["a phone that was replaced"]})
    contact_id = str(ana["aggregate_id"])
    await alice.push(ana)
    tablet = await api.login(alice, device={"name": "tablet"})
    for device, address in ((tablet, SECRETS["an address"]), (alice, SECRETS["an address that lost"])):
        await device.push(event("contact", "UPDATED", {"email": address}, aggregate_id=contact_id, base_seq=1))
    patched = {"phone": SECRETS["a phone"], "email": SECRETS["an address"]}
    response = await alice.http.patch(f"/api/contacts/{contact_id}", json=patched)
    assert response.status_code == 200
    deletion = event("contact", "DELETED", {}, aggregate_id=contact_id, base_seq=4)
    late = event("contact", "UPDATED", {"phone": SECRETS["a phone that was replaced"]}, aggregate_id=contact_id, base_seq=4)
    [gone] = (await alice.push(deletion))["results"]
    [disputed] = (await tablet.push(late))["results"]
    assert (gone["status"], disputed["code"]) == ("accepted", "edit_of_deleted")
    await alice.push(event("contact", "RESTORED", {"resolves": late["id"]}, aggregate_id=contact_id, base_seq=6))
    again = event(
        "contact", "CREATED", {"name": "Bea", "phone": SECRETS["a phone in a refused command"]}, aggregate_id=contact_id
    )
    unreadable = event("contact", "CREATED", {"name": "Bea", "phone": [SECRETS["a phone in a refused command"]]})
    assert [one["status"] for one in (await alice.push(again, unreadable))["results"]] == ["rejected", "rejected"]
    target = {"push": {"kind": "token", "value": SECRETS["a push target"]}}
    assert (await alice.http.put(f"/api/devices/{alice.device_id}", json=target)).status_code == 200
    return contact_id


async def seen(alice: Client) -> str:
    """Everything that the API tells its user, as text."""
    whole = [await alice.get(f"/api/{name}") for name in ("contacts", "events", "sync/conflicts", "sync/rejections", "devices")]
    whole.append(await alice.post("/api/sync/pull", {"since": 0}))
    assert verify_chain(whole[-1]["events"]).hex() == whole[-1]["hash"]
    whole += [(await alice.http.get("/api/sync/state")).text, (await alice.http.get("/api/export")).text]
    packed = zipfile.ZipFile(io.BytesIO((await alice.http.get("/api/export", params={"format": "csv"})).content))
    whole += [packed.read(name).decode() for name in packed.namelist()]
    return json.dumps(whole, ensure_ascii=False)


async def test_a_dump_holds_nothing_private_and_the_api_everything(alice: Client, api: Server, database: Engine) -> None:
    contact_id = await use(alice, api)
    told = await seen(alice)
    assert found_in(told, SECRETS) == list(SECRETS)
    assert (await alice.get(f"/api/contacts/{contact_id}"))["phone"] == SECRETS["a phone"]
    assert found_in(dump(database), SECRETS) == []
    with database.begin() as connection:  # a dump that does hold them is seen to
        connection.execute(text("update debitum.contacts set notes = :secret"), {"secret": SECRETS["an address"]})
        connection.execute(
            text("update debitum.devices set push_value = :secret where push_kind is not null"),
            {"secret": SECRETS["a push target"].encode()},
        )
    assert found_in(dump(database), SECRETS) == ["an address", "a push target"]


async def test_a_dump_as_the_owner_is_whole(alice: Client, api: Server, database: Engine) -> None:
    """Row-level security is forced on the owner too: without a policy of its own pg_dump would leave rows out, or stop."""
    await use(alice, api)

    def rows(*options: str) -> list[str]:
        lines = dump(database, "--schema=debitum", "--data-only", "--inserts", *options).splitlines()
        return [line for line in lines if line.startswith("INSERT")]

    everything = rows()
    assert len(everything) > 20
    assert rows(f"--role={roles.OWNER}", "--enable-row-security") == everything


async def test_equal_content_of_two_users_does_not_look_equal(alice: Client, bob: Client, database: Engine) -> None:
    """Neither by ciphertext nor by hash: who has a dump cannot try phone numbers."""
    shared = event("contact", "CREATED", {"name": "Ana", "phone": SECRETS["a phone"]})
    await alice.push(shared)
    await bob.push(shared)
    with database.begin() as connection:
        for query in (
            "select phone from debitum.contacts",
            "select sealed from debitum.events",
            "select hash from debitum.events",
        ):
            assert len(set(connection.scalars(text(query)))) == 2


async def test_a_retry_is_known_and_an_undo_finds_the_sealed_value(alice: Client, database: Engine) -> None:
    ana = event("contact", "CREATED", {"name": "Ana", "phone": SECRETS["a phone"]})
    change = event("contact", "UPDATED", {"phone": None}, aggregate_id=ana["aggregate_id"], base_seq=1)
    await alice.push(ana)
    await alice.push(change)
    repeated = (await alice.push(ana, change))["results"]
    assert [(one["status"], one["first"]) for one in repeated] == [("duplicate", "accepted")] * 2
    undo = event("contact", "UNDO", {"undone_event_id": change["id"]}, aggregate_id=ana["aggregate_id"], base_seq=2)
    once_more = event("contact", "UNDO", {"undone_event_id": change["id"]}, aggregate_id=ana["aggregate_id"], base_seq=3)
    assert [one["status"] for one in (await alice.push(undo))["results"]] == ["accepted"]
    assert (await alice.get(f"/api/contacts/{ana['aggregate_id']}"))["phone"] == SECRETS["a phone"]
    [refused] = (await alice.push(once_more))["results"]
    assert refused["code"] == "already_undone"


def settled(database: Engine, keys: KeyRing, ledger_id: str) -> list[verify.Finding]:
    with database.execution_options(isolation_level="REPEATABLE READ").begin() as connection:
        return list(verify.verify(connection, uuid.UUID(ledger_id), keys))


def key_counts(database: Engine, keys: KeyRing) -> dict[str, int]:
    with database.begin() as connection:
        return {one.key_id: one.ledgers for one in rotation.in_use(connection, keys)}


async def test_the_key_changes_while_everybody_writes(api: Server, database: Engine) -> None:
    """Old key, then both, then rotate under load, then the new one alone: no request fails, nothing is lost."""
    current = api.settings.keys.current
    old, new = f"{current}:{_material(api.settings.keys, current)}", new_key("k2")
    people = [await api.register() for _ in range(4)]
    contacts = [await use(one, api) for one in people]
    both = dataclasses.replace(api.settings, keys=KeyRing.parse(f"{new},{old}"))
    async with serve(both) as second:
        moved = [second.client(one.signed_in) for one in people]  # tokens of the old key still open
        stop = asyncio.Event()
        writers = [asyncio.create_task(write(one, stop)) for one in moved]
        done = await asyncio.to_thread(rotation.rotate, database, both.keys)
        stop.set()
        written = await asyncio.gather(*writers)
        assert (done.data_keys, done.push_targets) == (4, 1)  # all named the same target: it is the last one's
        assert key_counts(database, both.keys) == {"k2": 4}
        assert await asyncio.to_thread(rotation.rotate, database, both.keys) == rotation.Rotated(0, 0)
        newcomer = await second.register()
        target = {"push": {"kind": "token", "value": SECRETS["a push target"]}}
        assert (await newcomer.http.put(f"/api/devices/{newcomer.device_id}", json=target)).status_code == 200
        assert (await moved[-1].get("/api/devices"))["items"][1]["push"] is None  # found by the new key
    async with serve(dataclasses.replace(api.settings, keys=KeyRing.parse(new))) as third:
        for one, contact_id, count in zip(people, contacts, written, strict=True):
            again = await third.login(one)
            assert (await again.get(f"/api/contacts/{contact_id}"))["phone"] == SECRETS["a phone"]
            assert (await again.get("/api/sync/hash"))["version"] == 7 + count
            assert settled(database, third.settings.keys, one.ledger_id) == []


def _material(keys: KeyRing, key_id: str) -> str:
    import base64

    return base64.b64encode(keys.keys[key_id]).decode()


async def write(client: Client, stop: asyncio.Event) -> int:
    """Contacts with phones until `stop`, at least ten; how many were accepted."""
    written = 0
    while not stop.is_set() or written < 10:
        [result] = (await client.push(event("contact", "CREATED", {"name": "Cem", "phone": SECRETS["a phone"]})))["results"]
        assert result["status"] == "accepted"
        written += 1
    return written


async def test_a_ledger_whose_key_is_missing_is_said_and_others_go_on(
    api: Server, alice: Client, bob: Client, database: Engine
) -> None:
    with database.begin() as connection:
        stranger = KeyRing.parse(new_key(api.settings.keys.current))
        spoilt = "update debitum.ledgers set data_key = :key where id = :id"
        connection.execute(text(spoilt), {"key": stranger.new_data_key(alice.ledger_id), "id": alice.ledger_id})
    refused = await alice.http.post("/api/sync/push", json={"events": [event("contact", "CREATED", {"name": "Ana"})]})
    assert refused.status_code == 500
    assert refused.json()["code"] == "internal"
    await bob.push(event("contact", "CREATED", {"name": "Ana", "phone": SECRETS["a phone"]}))
    assert [finding.what for finding in settled(database, stranger, alice.ledger_id)] == []
    [finding] = settled(database, stranger, bob.ledger_id)
    assert "does not open" in finding.what
