"""The unit of work of a request: its session, its caller, and what is kept for a repeated key."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from fastapi import Request, Response
from storage import Session

from servicekit.caller import Caller
from servicekit.door.accepted import Accepted
from servicekit.kit import Kit
from servicekit.tokens import Claims


@dataclass
class Unit:
    """Opened by the first dependency that needs it, finished by the door. `claims` are verified before anything else."""

    accepted: Accepted = field(default_factory=Accepted)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    claims: Claims | None = None
    session: Session | None = None
    caller: Caller | None = None
    keeps_answers: bool = False
    key: str | None = None
    request_hash: str = ""


class StoredResponse(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


def kit_of(request: Request) -> Kit:
    return request.app.state.kit


def check_roles(request: Request, caller: Caller) -> None:
    """Raises Forbidden unless the route is open to the caller: for handlers that find their caller themselves."""
    request.state.unit.accepted.check(caller)
