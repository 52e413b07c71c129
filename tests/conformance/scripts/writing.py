"""What one user writes, and what another device of hers reads."""

from tests.conformance.scene import Scene, case


@case
async def offline(scene: Scene) -> None:
    """A device that has never met the server keeps what its user does, in that order, and has no state of its own."""
    [a] = await scene.devices("A")
    ana = a.contact("Ana")
    debt = a.lend(ana, 1_000)
    a.update(debt, amount=1_100)


@case
async def create_and_pull(scene: Scene) -> None:
    """A contact, money in both directions and a thing; another device pulls them and has the same hash. What the user left
    out stands in the fact with the server's default.
    """
    a, b = await scene.devices("AB")
    ana = a.contact("Ana")
    a.lend(ana, 1_000, description="lunch", due_date="2026-12-01")
    a.lend(ana, 250, direction="owed")
    a.hand(ana, "a drill")
    await a.sync()
    await b.sync()


@case
async def texts(scene: Scene) -> None:
    """Quotes, backslashes, control characters, DEL, line separators, emoji and combining characters: the canonical JSON escapes
    only what JSON requires, and nothing is normalized.
    """
    a, b = await scene.devices("AB")
    ana = a.contact('"Ana" \\ O\'Neil', notes="a\nb\rc\td\be\ff \x01\x1f\x7f\x80 </script> /")
    await a.sync()
    await b.sync()
    b.update(ana, notes="\u2028\u2029 \ufeff é e\u0301 ñ Дмитрий 名前 \U0001f600\U0001f1ea\U0001f1f8 \uffff")
    await b.sync()
    await a.sync()


@case
async def largest_amount(scene: Scene) -> None:
    """An amount and a balance of 2^53 − 1: the largest integers that occur."""
    a, b = await scene.devices("AB")
    a.lend(a.contact("Ana"), 9_007_199_254_740_991, currency="JPY")
    await a.sync()
    await b.sync()


@case
async def salts(scene: Scene) -> None:
    """A fact that holds a phone number or an address has a salt, which the hash covers like every other member."""
    a, b = await scene.devices("AB")
    ana = a.contact("Ana", phone="+34 600 000 000")
    a.update(ana, notes="from work")
    a.update(ana, email="ana@example.org")
    await a.sync()
    await b.sync()


@case
async def update_and_clear(scene: Scene) -> None:
    """An update changes the members that it names, null clears; one that changes nothing is a fact without changes."""
    a, b = await scene.devices("AB")
    debt = a.lend(a.contact("Ana"), 1_000, description="lunch", due_date="2026-12-01")
    await a.sync()
    await b.sync()
    b.update(debt, amount=1_200, description=None)
    b.update(debt, due_date="2026-12-01")
    await b.sync()
    await a.sync()


@case
async def reminders(scene: Scene) -> None:
    """Every type of event of a reminder."""
    a, b = await scene.devices("AB")
    ana = a.contact("Ana")
    call = a.remind("call Ana", contact_id=ana, repeat="FREQ=WEEKLY", channels=["push"])
    a.update(call, message="write to Ana")
    await a.sync()
    a.undo(a.last)
    a.delete(call)
    a.restore(call)
    a.update(call, done_at="2026-11-22T21:30:00+01:00")
    await a.sync()
    await b.sync()


@case
async def delete_a_contact(scene: Scene) -> None:
    """The deletion of a contact takes along what hangs on it, in one fact; its restoration brings all of that back."""
    a, b = await scene.devices("AB")
    ana = a.contact("Ana")
    debt = a.lend(ana, 1_000)
    a.remind("ask for it", transaction_id=debt)
    gone = a.hand(ana, "a tent")
    a.delete(gone)
    a.delete(ana)
    await a.sync()
    await b.sync()
    b.restore(ana)
    await b.sync()
    await a.sync()


@case
async def delete_a_debt(scene: Scene) -> None:
    """The deletion of a debt unlinks its repayments, which stay."""
    a, b = await scene.devices("AB")
    ana = a.contact("Ana")
    debt = a.lend(ana, 1_000)
    a.lend(ana, 400, direction="owed", repays=debt)
    a.delete(debt)
    await a.sync()
    await b.sync()


@case
async def needed_contact(scene: Scene) -> None:
    """A debt of a contact that another device has deleted meanwhile restores the contact, alone, in the same fact."""
    a, b = await scene.devices("AB")
    ana = a.contact("Ana")
    a.lend(ana, 1_000)
    await a.sync()
    await b.sync()
    b.lend(ana, 250)
    a.delete(ana)
    await a.sync()
    await b.sync()
    await a.sync()
