"""Users who write: accounts on a real API server, and what people do with debts, ready to be pushed."""

import asyncio
import datetime
import json
import random
from typing import Any, NamedTuple, Self

import httpx

from domain import ids

PASSWORD = "correct horse battery staple"  # noqa: S105  # of accounts that live as long as one run
TIMEOUT_SECONDS = 60.0
PUSH = 500
"""The most commands that the server takes at once."""
REGISTERED_TOGETHER = 4
"""As many as the server hashes at once."""
WORDS = ("lunch", "taxi", "Miete", "drill", "concert", "crème brûlée", "groceries", "petrol", "Łódź", "tickets")

Item = dict[str, Any]
"""A command as `/api/sync/push` takes it."""


class Body(NamedTuple):
    """A push, ready to be sent, and the ids in it."""

    content: bytes
    ids: list[str]


class User:
    """Somebody with a connection and a ledger that nobody else writes to: all is accepted, so that seqs are known ahead."""

    def __init__(self, url: str, email: str, signed_in: dict[str, Any], dice: random.Random) -> None:
        self.email = email
        self.ledger_id: str = signed_in["ledger_id"]
        self.headers = {"Authorization": f"Bearer {signed_in['access_token']}", "Content-Type": "application/json"}
        self.token: str = signed_in["access_token"]
        self.http = httpx.AsyncClient(base_url=url, headers=self.headers, timeout=TIMEOUT_SECONDS)
        self.acknowledged: list[str] = []
        self.head: tuple[int, str | None] = (0, None)
        """By the word of the last answer."""
        self.one_at_a_time = asyncio.Lock()
        """For pushes: the next one builds on the head after it."""
        self._dice = dice
        self._planned = 0
        """Where the ledger will stand once all that was prepared is there."""
        self._contacts: list[str] = []
        self._debts: list[str] = []

    @classmethod
    async def register(cls, url: str, dice: random.Random) -> Self:
        """A new account on the server at `url`."""
        email = f"{_new_id()}@example.org"
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS) as http:
            body = {"email": email, "password": PASSWORD}
            answer = await http.post("/api/auth/register", json=body)
            while answer.status_code == 503:  # all places to hash are taken
                await asyncio.sleep(float(answer.headers["Retry-After"]))
                answer = await http.post("/api/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        return cls(url, email, answer.json(), dice)

    async def close(self) -> None:
        """Close the connection."""
        await self.http.aclose()

    def prepare(self, size: int) -> Body:
        """The next `size` commands of this user, as one push."""
        base_seq, self._planned = self._planned, self._planned + size
        items = [self._item(base_seq) for _ in range(size)]
        return Body(json.dumps({"events": items}).encode(), [item["id"] for item in items])

    async def push(self, body: Body, http: httpx.AsyncClient | None = None) -> None:
        """Send what `prepare` made, in its order, over `http` if it is not the user's own connection."""
        answer = await (http or self.http).post("/api/sync/push", content=body.content, headers=self.headers)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert all(result["status"] == "accepted" for result in said["results"]), said
        self.acknowledged += body.ids
        self.head = said["version"], said["hash"]

    def _item(self, base_seq: int) -> Item:
        kind, what, entity_id, data = self._act()
        now = datetime.datetime.now(datetime.UTC)
        return {
            "id": _new_id(),
            "aggregate_type": kind,
            "aggregate_id": entity_id,
            "event_type": what,
            "event_data": data,
            "base_seq": base_seq,
            "timestamp": now.isoformat(),
            "version": 1,
        }

    def _act(self) -> tuple[str, str, str, Item]:
        """In 100: 77 debts, 10 changes of one, 5 repayments, 3 deletions, 3 reminders, 2 contacts."""
        dice, new = self._dice.random(), _new_id()
        if dice < 0.02 or not self._contacts:
            self._contacts.append(new)
            return "contact", "CREATED", new, {"name": f"{self._words(1)} {len(self._contacts)}", "phone": "+34 600 000 000"}
        if dice < 0.79 or not self._debts:
            self._debts.append(new)
            return "transaction", "CREATED", new, self._debt() | {"description": self._words(4), "due_date": "2027-01-31"}
        if dice < 0.84:
            return "transaction", "CREATED", new, self._debt() | {"repays": self._dice.choice(self._debts)}
        if dice < 0.87:
            return "reminder", "CREATED", new, {"remind_at": "2027-01-15T09:00:00+01:00", "transaction_id": self._debts[-1]}
        debt = self._debts[place := self._dice.randrange(len(self._debts))]
        if dice < 0.90:
            self._debts[place] = self._debts[-1]
            self._debts.pop()
            return "transaction", "DELETED", debt, {}
        return "transaction", "UPDATED", debt, {"description": self._words(3), "amount": self._dice.randint(1, 100_000)}

    def _debt(self) -> Item:
        direction = self._dice.choice(("lent", "owed"))
        amount = self._dice.randint(1, 100_000)
        return {"contact_id": self._dice.choice(self._contacts), "direction": direction, "amount": amount, "currency": "EUR"}

    def _words(self, count: int) -> str:
        return " ".join(self._dice.choices(WORDS, k=count))


async def register(url: str, count: int) -> list[User]:
    """`count` new accounts."""
    found: list[User] = []
    while len(found) < count:
        group = range(len(found), min(count, len(found) + REGISTERED_TOGETHER))
        found += await asyncio.gather(*(User.register(url, random.Random(number)) for number in group))
    return found


async def accounts(url: str, count: int) -> list[User]:
    """The same, for whoever wants no connection of theirs."""
    users = await register(url, count)
    for user in users:
        await user.close()
    return users


async def filled(url: str, events: int) -> User:
    """Somebody who has done so many things, in pushes of PUSH."""
    [user] = await register(url, 1)
    for _ in range(events // PUSH):
        await user.push(user.prepare(PUSH))
    assert user.head[0] == events
    return user


def _new_id() -> str:
    return str(ids.uuid7(datetime.datetime.now(datetime.UTC)))
