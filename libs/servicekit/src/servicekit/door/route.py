"""One request, one transaction, committed before the answer goes out."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.types import Message

from servicekit.budget import OverBudget, within
from servicekit.door.idempotency import remember
from servicekit.door.unit import StoredResponse, Unit
from servicekit.errors import Invalid, TooLarge, Unavailable

BODY_BYTES = 32_000_000


class Door(APIRoute):
    """Commits the request's unit of work when its handler has answered, and before the answer leaves."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        original = super().get_route_handler()

        async def handle(request: Request) -> Response:
            unit = request.state.unit = Unit(body_kept=self.body_field is not None)
            request = _bounded(request, unit)
            if unit.body_kept:
                await request.body()  # here, since the framework would tell every failure as a body it cannot parse
            try:
                async with unit.stack:
                    response = await within(original(request), seconds=None)
                    if unit.key and unit.session:
                        await remember(unit, response)
                return response
            except StoredResponse as stored:
                return stored.response
            except RecursionError as error:
                raise Invalid("nested-too-deeply", "What was sent is nested too deeply. Write it flatter.") from error
            except OverBudget as error:
                raise Invalid("took-too-long", f"This was given up: {error}. Ask for less at once.") from error
            except (OperationalError, InterfaceError, PoolTimeout, ConnectionError) as error:
                raise Unavailable("database-away", "The database cannot be reached.", retry_after=2) from error
            except DataError as error:
                raise Invalid("unstorable-value", "A value is not one that the database can hold.") from error

        return handle


def _bounded(request: Request, unit: Unit) -> Request:
    """The same request; what is kept of its body is limited, what its handler reads as a stream is not."""
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if unit.body_kept and size > BODY_BYTES:
            raise TooLarge("too-large", f"At most {BODY_BYTES:,} bytes are taken here.")
        return message

    return Request(request.scope, receive)


def router(**kwargs: Any) -> APIRouter:
    """A router whose requests are units of work."""
    return APIRouter(route_class=Door, **kwargs)
