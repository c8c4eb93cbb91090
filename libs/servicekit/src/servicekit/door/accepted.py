"""What a route takes in: how many bytes, from whom, and whether it may be sent again with the same key."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi.dependencies.models import Dependant

BODY_BYTES = 256_000
"""What a route takes that does not say otherwise."""
DEFINITION_BYTES = 1_000_000
"""For what people write as a whole: forms, templates, KPI models, rules, texts."""

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Accepted:
    """`body_bytes` None: the handler reads its body as a stream, before it opens a session, and bounds it itself.
    `roles`: who has none of them is refused before the body is read. `idempotency_key` False: an answer is not kept, since
    it tells a secret or since asking again changes nothing.

    Of what has an ETag: `thing` is the path of what the route changes, where that is not its own; `changing`: fields of
    what it answers that nobody edits and that change by themselves; `alone`: changes wait for those of this thing only,
    where no other route, blueprint or clock changes it too. `signed_in`: the handler looks at the token itself."""

    body_bytes: int | None = BODY_BYTES
    roles: tuple[str, ...] = ()
    idempotency_key: bool = True
    thing: str | None = None
    changing: tuple[str, ...] = ()
    alone: bool = False
    signed_in: bool = False


def accepts(
    body_bytes: int | None = BODY_BYTES,
    *,
    roles: tuple[str, ...] = (),
    idempotency_key: bool = True,
    thing: str | None = None,
    changing: tuple[str, ...] = (),
    alone: bool = False,
    signed_in: bool = False,
) -> Callable[[Endpoint], Endpoint]:
    """Says of a handler what `Accepted` tells; stands below the route's decorator."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__["accepted"] = Accepted(body_bytes, roles, idempotency_key, thing, changing, alone, signed_in)
        return endpoint

    return mark


def accepted_by(endpoint: Callable[..., Any]) -> Accepted:
    return getattr(endpoint, "accepted", Accepted())


def whole(dependant: Dependant) -> Iterator[Dependant]:
    """The handler, and all that it depends on."""
    yield dependant
    for each in dependant.dependencies:
        yield from whole(each)


def depends_on(dependant: Dependant, call: Callable[..., Any]) -> bool:
    return any(each.call is call for each in whole(dependant))


def header_names(dependant: Dependant) -> frozenset[str]:
    """Lower case: those that the handler reads itself."""
    return frozenset(field.alias.lower() for each in whole(dependant) for field in each.header_params)
