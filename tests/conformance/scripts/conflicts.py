"""The four kinds of conflict, and how they are settled."""

from tests.conformance.scene import Scene, case
from tests.conformance.scripts.together import lunch


@case
async def conflict_edit(scene: Scene) -> None:
    """Both edit the amount: the first stays, and the other's fact is a conflict whose other fields are applied. Another device
    settles it with `resolves`; undoing that opens it again.
    """
    a, b, debt = await lunch(scene)
    a.update(debt, amount=1_100, description="lunch with Ana")
    b.update(debt, amount=1_200)
    await b.sync()
    await a.sync()
    await b.sync()
    settled = b.update(debt, amount=1_100, resolves=b.conflict)
    await b.sync()
    await a.sync()
    a.undo(settled)
    await a.sync()
    await b.sync()


@case
async def conflict_edit_of_a_schedule(scene: Scene) -> None:
    """The schedule of a reminder is a group too. The conflict is settled by keeping what is: `resolves` stands alone."""
    a, b = await scene.devices("AB")
    call = a.remind("call Ana")
    await a.sync()
    await b.sync()
    a.update(call, remind_at="2026-12-02T09:00:00+01:00")
    b.update(call, channels=["email"])
    await b.sync()
    await a.sync()
    a.update(call, resolves=a.conflict)
    await a.sync()
    await b.sync()


@case
async def conflict_edit_of_deleted(scene: Scene) -> None:
    """One deletes what the other edits: it stays deleted, the edit is kept as a conflict, a RESTORED settles it."""
    a, b, debt = await lunch(scene)
    a.update(debt, description="lunch with Ana")
    b.delete(debt)
    await b.sync()
    await a.sync()
    a.restore(debt, resolves=a.conflict)
    await a.sync()
    await b.sync()


@case
async def conflict_delete_vs_edit(scene: Scene) -> None:
    """One deletes a debt whose amount the other has changed: nothing is deleted until somebody who has seen that says so."""
    a, b, debt = await lunch(scene)
    a.delete(debt)
    b.update(debt, amount=1_200)
    await b.sync()
    await a.sync()
    await b.sync()
    b.delete(debt, resolves=b.conflict)
    await b.sync()
    await a.sync()


@case
async def conflict_delete_vs_new(scene: Scene) -> None:
    """One deletes a contact for whom the other has written down something new: nothing is deleted. The conflict stays open."""
    a, b, debt = await lunch(scene)
    ana = a.device.state()["transaction", debt]["contact_id"]
    a.delete(ana)
    b.lend(ana, 500, description="cinema")
    b.remind("call Ana", contact_id=ana)
    await b.sync()
    await a.sync()
    await b.sync()


@case
async def conflict_in_a_settlement(scene: Scene) -> None:
    """A settlement that meets something newer than what it settles is a conflict itself and settles nothing: two are open."""
    a, b, debt = await lunch(scene)
    a.update(debt, amount=1_100)
    b.update(debt, amount=1_200)
    await b.sync()
    await a.sync()
    await b.sync()
    a.update(debt, amount=1_100, resolves=a.conflict)
    b.update(debt, amount=1_300)
    await b.sync()
    await a.sync()
    await b.sync()


@case
async def ids_in_capitals(scene: Scene) -> None:
    """The same id in capitals is the same id; `event_data` keeps it as it was sent, so a reader compares without case."""
    a, b, debt = await lunch(scene)
    a.update(debt, amount=1_100)
    b.update(debt, amount=1_200)
    await b.sync()
    await a.sync()
    a.update(debt, resolves=a.conflict.upper())
    await a.sync()
    await b.sync()
