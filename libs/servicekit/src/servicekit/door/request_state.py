"""The state of a request: its session, its caller, and its idempotency key."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from fastapi import Request, Response
from storage import Session

from servicekit.caller import Caller
from servicekit.door.policy import RoutePolicy
from servicekit.service_definition import ServiceContext
from servicekit.tokens import Claims


@dataclass
class RequestState:
    """What the door knows of a request. The first dependency that needs a session opens it; the door commits it. `claims`
    are verified before anything else."""

    policy: RoutePolicy = field(default_factory=RoutePolicy)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    claims: Claims | None = None
    session: Session | None = None
    caller: Caller | None = None
    stores_response: bool = False
    idempotency_key: str | None = None
    request_hash: str = ""


class StoredResponse(Exception):
    """Ends a request that repeats an Idempotency-Key, with the response that was stored for it."""

    def __init__(self, response: Response) -> None:
        self.response = response


def get_context(request: Request) -> ServiceContext:
    """The context of the service that handles the request."""
    return request.app.state.context


def check_roles(request: Request, caller: Caller) -> None:
    """Raises Forbidden unless the caller has a role for the route. For handlers that authenticate the caller themselves."""
    request.state.door.policy.require_role(caller)
