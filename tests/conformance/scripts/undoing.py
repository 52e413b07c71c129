"""UNDO: what an event did is taken back, by a new event."""

from tests.conformance.scene import Scene, case
from tests.conformance.scripts.together import lunch


@case
async def undo_create(scene: Scene) -> None:
    """Undoing a creation is a deletion."""
    a, b = await scene.devices("AB")
    ana = a.contact("Ana")
    known = a.last
    a.lend(ana, 1_000)
    await a.sync()
    a.undo(a.last)
    a.undo(known)
    await a.sync()
    await b.sync()


@case
async def undo_update(scene: Scene) -> None:
    """Undoing an update sets every field back to what it was before that update; later changes of other fields stay."""
    a, b, debt = await lunch(scene)
    changed = a.update(debt, amount=1_200, due_date="2026-12-01")
    a.update(debt, description="lunch with Ana")
    await a.sync()
    a.undo(changed)
    await a.sync()
    await b.sync()


@case
async def undo_delete(scene: Scene) -> None:
    """Undoing the deletion of a contact brings back all that went along; undoing a restoration deletes it again."""
    a, b, debt = await lunch(scene)
    ana = a.device.state()["transaction", debt]["contact_id"]
    deleted = a.delete(ana)
    await a.sync()
    a.undo(deleted)
    a.delete(debt)
    restored = a.restore(debt)
    await a.sync()
    a.undo(restored)
    await a.sync()
    await b.sync()


@case
async def undo_by_another_device(scene: Scene) -> None:
    """Any device undoes what another did; the first does not lose its other commands for that."""
    a, b, debt = await lunch(scene)
    changed = a.update(debt, amount=1_200)
    await a.sync()
    await b.sync()
    b.undo(changed)
    a.update(debt, description="lunch with Ana")
    await b.sync()
    await a.sync()
    await b.sync()


@case
async def undo_refused(scene: Scene) -> None:
    """What cannot be undone is rejected for good: what is in use, what has changed since, what has been undone, an undo."""
    a, _, debt = await lunch(scene)
    created = {fact["aggregate_type"]: fact["id"] for fact in a.device.log()}
    changed = a.update(debt, amount=1_200)
    await a.sync()
    a.undo(created["contact"])
    a.undo(created["transaction"])
    undone = a.undo(changed)
    a.undo(changed)
    await a.sync()
    a.undo(undone)
    await a.sync()
