"""Commands that the server does not take: for good, or until what they need has come."""

from tests.conformance.scene import Scene, case


@case
async def rejected_invalid(scene: Scene) -> None:
    """An invalid command is rejected for good: it is not sent again, the user is told; its neighbours pass."""
    a, b = await scene.devices("AB")
    a.contact("Ana", email="no address")
    a.contact("Björn")
    a.contact(" ")
    await a.sync()
    await b.sync()
    a.contact("Chloé")
    await a.sync()


@case
async def rejected_dependency(scene: Scene) -> None:
    """A debt falls with the contact of the same push that it needs (`dependency_failed`), and is kept. Once the user has created
    the contact anew it is sent again, under its id and with its base, and taken.
    """
    a, b = await scene.devices("AB")
    ana = a.contact("Ana", email="no address")
    a.lend(ana, 1_000)
    await a.sync()
    a.contact("Ana", of=ana)
    await a.sync()
    await b.sync()


@case
async def rejected_id_reused(scene: Scene) -> None:
    """An id that came before with other content is refused (`id_reused`), for good. Here it belongs to a rejected command."""
    a, b = await scene.devices("AB")
    a.contact("Ana", email="no address")
    await a.sync()
    b.contact("Björn", under=a.last)
    b.contact("Chloé")
    await b.sync()
    await a.sync()
