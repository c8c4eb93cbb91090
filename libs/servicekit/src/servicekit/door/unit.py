"""The unit of work of a request: its session, its caller, and what is kept for a repeated key."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from fastapi import Request, Response
from storage import Session

from servicekit.caller import Caller
from servicekit.kit import Kit


@dataclass
class Unit:
    """The request's unit of work: opened by the first dependency that needs it, finished by the door."""

    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    session: Session | None = None
    caller: Caller | None = None
    key: str | None = None
    request_hash: str = ""
    body_kept: bool = False
    """The body is held in memory as a whole, and so may not be of any size."""


class StoredResponse(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


def kit_of(request: Request) -> Kit:
    return request.app.state.kit
