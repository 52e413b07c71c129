"""The server is put back to a backup: what any device still holds comes back, and all of them agree again."""

from tests.conformance.scene import Scene, case
from tests.conformance.scripts.together import lunch


@case
async def reset_beyond_the_head(scene: Scene) -> None:
    """Both devices know more than the restored server: each starts over and sends again what of its own the server lacks."""
    a, b, debt = await lunch(scene)
    backup = scene.backup()
    a.update(debt, description="lunch with Ana")
    await a.sync()
    await b.sync()
    b.update(debt, due_date="2026-12-01")
    await b.sync()
    await a.sync()
    scene.restore(backup)
    await a.sync()
    await b.sync()
    await a.sync()


@case
async def reset_by_hash(scene: Scene) -> None:
    """Others have written past the backup, so that only the hash shows that the histories differ. What is sent again has the
    last common seq for its base, and so has what was still waiting: the amounts meet in a conflict, nothing is lost.
    """
    a, b, debt = await lunch(scene)
    backup = scene.backup()
    a.update(debt, amount=1_100)
    await a.sync()
    a.update(debt, due_date="2026-12-01")
    scene.restore(backup)
    b.update(debt, amount=1_200)
    b.update(debt, description="dinner")
    await b.sync()
    await a.sync()
    await b.sync()


@case
async def reset_to_nothing(scene: Scene) -> None:
    """Nothing is left on the server, and the device that comes first built on what another holds: its commands are rejected
    (`unknown_contact`, `unknown_aggregate`, `unknown_event`), wait, and are sent again when the log has grown. All bases are 0.
    """
    a, b = await scene.devices("AB")
    backup = scene.backup()
    ana = a.contact("Ana")
    debt = a.lend(ana, 1_000)
    changed = a.update(ana, notes="from work")
    await a.sync()
    await b.sync()
    b.lend(ana, 500)
    b.update(debt, amount=1_200)
    b.undo(changed)
    await b.sync()
    scene.restore(backup)
    await b.sync()
    await a.sync()
    await b.sync()
    await a.sync()


@case
async def reset_before_a_conflict(scene: Scene) -> None:
    """The restored server has lost a conflict that only the other device can bring back: its settlement is rejected
    (`unknown_conflict`), waits, and settles it once it is there again.
    """
    a, b, debt = await lunch(scene)
    a.update(debt, amount=1_100)
    b.update(debt, amount=1_200)
    await b.sync()
    backup = scene.backup()
    await a.sync()
    await b.sync()
    b.update(debt, amount=1_100, resolves=b.conflict)
    await b.sync()
    scene.restore(backup)
    await b.sync()
    await a.sync()
    await b.sync()
    await a.sync()


@case
async def reset_while_pushing(scene: Scene) -> None:
    """The server is put back between the pull and the push of one sync: a push is answered `reset` as well."""
    a, b, debt = await lunch(scene)
    backup = scene.backup()
    a.update(debt, description="lunch with Ana")
    await a.sync()
    a.update(debt, amount=1_200)
    await a.sync(put_back=backup)
    await b.sync()


@case
async def restored_unnoticed(scene: Scene) -> None:
    """A command was acknowledged, but the device had not pulled it when the server was put back; another command has its seq now.
    Nothing contradicts what the device has folded: it sees that what was acknowledged has not come, and sends it again.
    """
    a, b, debt = await lunch(scene)
    backup = scene.backup()
    a.update(debt, description="lunch with Ana")
    await a.sync(lost="request", at=2)
    scene.restore(backup)
    b.update(debt, due_date="2026-12-01")
    await b.sync()
    await a.sync()
    await b.sync()
