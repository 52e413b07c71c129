"""Two devices of one user at the same time, without a conflict."""

from tests.conformance.scene import Actor, Scene, case


async def lunch(scene: Scene) -> tuple[Actor, Actor, str]:
    """Devices A and B, which both know of ten euros that Ana owes for lunch; and that debt."""
    a, b = await scene.devices("AB")
    debt = a.lend(a.contact("Ana"), 1_000, description="lunch")
    await a.sync()
    await b.sync()
    return a, b, debt


@case
async def creates_at_once(scene: Scene) -> None:
    """Both devices create while neither sees the other; the log has all of it, in the order in which it came."""
    a, b = await scene.devices("AB")
    a.lend(a.contact("Ana"), 1_000)
    b.lend(b.contact("Björn"), 500, direction="owed", currency="JPY")
    await b.sync()
    await a.sync()
    await b.sync()


@case
async def overwrote(scene: Scene) -> None:
    """Both edit the description: the one that comes later stays, and its fact says what it overwrote. No conflict."""
    a, b, debt = await lunch(scene)
    a.update(debt, description="lunch with Ana")
    b.update(debt, description="dinner")
    await b.sync()
    await a.sync()
    await b.sync()


@case
async def different_fields(scene: Scene) -> None:
    """One edits the amount, the other the description: both stay."""
    a, b, debt = await lunch(scene)
    a.update(debt, description="lunch with Ana")
    b.update(debt, amount=1_200)
    await b.sync()
    await a.sync()
    await b.sync()


@case
async def own_queue(scene: Scene) -> None:
    """A device's own queue is causal: three edits of one amount with the same base are not held against each other."""
    a, b, debt = await lunch(scene)
    a.update(debt, amount=1_100)
    a.update(debt, amount=1_200)
    a.update(debt, direction="owed")
    await a.sync()
    await b.sync()
