"""A user has their account and all that is in it deleted, or keeps it after all."""

from msgspec import Struct

from api import credentials, problems, services
from api.accounts import User, profile
from api.passwords import Given
from api.routing import Call, Nothing, Reply, Routes
from domain import facts
from storage import deletion, passwords

routes = Routes("identity")


class DeleteMeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The user's password: a device that lies around is not enough."""

    password: Given


class Deleting(Struct, frozen=True):
    """When the user and everything of theirs is erased."""

    deleting_at: str


@routes.add("DELETE", "/api/me", answer=Deleting, status=202, body=DeleteMeBody, codes=("invalid_credentials",), needs="session")
async def delete_me(call: Call[DeleteMeBody, Nothing]) -> Reply:
    """Have the account erased in 7 days. Other sessions and all personal tokens end now; until then everything works."""
    async with call.services.hasher.place() as place:
        password_hash = await credentials.check(call, place, call.body.password)
    user_id, session_id = call.caller.user_id, call.caller.credential_id
    async with call.changing() as connection:
        if not await passwords.hold(connection, user_id, password_hash):
            raise problems.InvalidCredentials("the password has been changed meanwhile")
        deleting_at = await deletion.schedule(connection, user_id, but=session_id, now=services.now())
    return Reply(Deleting(facts.wire_time(deleting_at)), 202)


@routes.add("POST", "/api/me/keep", answer=User, codes=("too_late",), needs="session")
async def keep_me(call: Call[None, Nothing]) -> Reply:
    """Keep the account; where nobody wanted it erased, nothing changes."""
    async with call.changing() as connection:
        if not await deletion.cancel(connection, call.caller.user_id):
            raise problems.TooLate("the account is being erased")
        return Reply(await profile(connection, call.caller.user_id))
