"""The unit of work of a request: its session, its caller, and what is kept for a repeated key."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from fastapi import Request, Response
from storage import Session

from servicekit.caller import Caller
from servicekit.door.policy import RoutePolicy
from servicekit.service_definition import ServiceContext
from servicekit.tokens import Claims


@dataclass
class UnitOfWork:
    """Opened by the first dependency that needs it, finished by the door. `claims` are verified before anything else."""

    policy: RoutePolicy = field(default_factory=RoutePolicy)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    claims: Claims | None = None
    session: Session | None = None
    caller: Caller | None = None
    stores_response: bool = False
    idempotency_key: str | None = None
    request_hash: str = ""


class StoredResponse(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


def get_context(request: Request) -> ServiceContext:
    return request.app.state.context


def check_roles(request: Request, caller: Caller) -> None:
    """Raises Forbidden unless the route is open to the caller: for handlers that find their caller themselves."""
    request.state.unit.policy.require_role(caller)
