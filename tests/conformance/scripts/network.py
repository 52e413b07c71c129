"""What gets lost on the way, what is sent again, and what it was based on."""

from tests.conformance.scene import Scene, case
from tests.conformance.scripts.together import lunch


@case
async def lost_request(scene: Scene) -> None:
    """A push that does not reach the server is sent again under the same ids."""
    a, b = await scene.devices("AB")
    a.lend(a.contact("Ana"), 1_000)
    await a.sync(lost="request")
    await a.sync()
    await b.sync()


@case
async def lost_reply(scene: Scene) -> None:
    """A push whose reply is lost has happened: its commands come with the next pull, and are not sent again."""
    a, b = await scene.devices("AB")
    a.lend(a.contact("Ana"), 1_000)
    await a.sync(lost="reply")
    await a.sync()
    await b.sync()


@case
async def late_request(scene: Scene) -> None:
    """A push that was given up arrives between the pull and the push of the next sync: what is sent again is `duplicate`, with
    the first outcome.
    """
    a, b, debt = await lunch(scene)
    a.update(debt, description="lunch with Ana")
    a.update(debt, amount=1_100)
    b.update(debt, amount=1_200)
    await b.sync()
    await a.sync(lost="late")
    await a.sync()
    await b.sync()


@case
async def lost_reply_to_a_rejection(scene: Scene) -> None:
    """Where the reply is lost that says no, the same is sent again, and the same is said again."""
    [a] = await scene.devices("A")
    a.contact("Ana", email="no address")
    a.contact("Björn")
    await a.sync(lost="reply")
    await a.sync()


@case
async def base_seq(scene: Scene) -> None:
    """The base of a command is what was folded when the user acted, however often the device pulls before it can push;
    `base_hash` belongs to the highest base of the push.
    """
    a, b, debt = await lunch(scene)
    a.update(debt, description="lunch with Ana")
    b.update(debt, description="dinner")
    await b.sync()
    await a.sync(lost="request")
    a.update(debt, due_date="2026-12-01")
    b.update(debt, amount=1_200)
    await b.sync()
    await a.sync(lost="request")
    a.update(debt, amount=1_100)
    await a.sync()
    await b.sync()


@case
async def pages(scene: Scene) -> None:
    """The log comes in pages: the device asks on while `has_more` is true. The size of a page is its own choice."""
    a, b = await scene.devices("AB")
    for name in ("Ana", "Björn", "Chloé", "Дмитрий", "Eva"):
        a.contact(name)
    await a.sync(page=2)
    await b.sync(page=2)
