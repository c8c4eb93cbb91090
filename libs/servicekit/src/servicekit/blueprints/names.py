"""Stores the names of other services' objects, and what these refer to. So an edit that refers to an unknown name, or that
removes a name which is referred to, is refused at once."""

import asyncio
from collections.abc import Iterable
from typing import Any, get_args

from contracts import new_id
from contracts.blueprints import Named, SectionApplied
from contracts.directory import Role
from contracts.section_names import Names, extract_names
from sqlalchemy.dialects.postgresql import insert
from storage import Session
from storage.tables import section_names

from servicekit.blueprints.checking import Reference, find_unknown_names
from servicekit.errors import Conflict, FieldProblem, Invalid
from servicekit.service_definition import ReceivedEvent, Subscription

WAIT_SECONDS = 2.0
"""How long to wait for a name that was just published: its event may be on its way."""
_POLL_SECONDS = 0.1


def subscribe_to_names(*services: str) -> list[Subscription]:
    """Subscriptions that store the names of these services' sections."""
    return [Subscription(f"{service}.sections", {SectionApplied: store_section_names}) for service in services]


async def store_section_names(session: Session, event: ReceivedEvent[SectionApplied]) -> None:
    """Stores the names and references of a service's section, unless a newer event was stored before."""
    body = event.body
    statement = insert(section_names).values(
        tenant=session.tenant,
        service=body.service,
        names=extract_names(body.service, body.content),
        named=None if body.named is None else [each.model_dump(mode="json") for each in body.named],
        event_id=event.attributes.id,
    )
    new = statement.excluded
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant", "service"],
            set_={"names": new.names, "named": new.named, "event_id": new.event_id},
            where=section_names.c.event_id < new.event_id,
        )
    )


async def load_known_names(session: Session) -> Names:
    """Kind → the names that this service knows, including the directory's. Kinds of a service that has not published its
    section are missing."""
    found: Names = {"role": dict.fromkeys(get_args(Role))}
    for names in await session.scalars(
        "SELECT names FROM section_names WHERE tenant = :tenant", {"tenant": session.tenant}
    ):
        found |= names
    units: list[Any] = await session.scalars(
        "SELECT slug FROM directory_org_unit WHERE tenant = :tenant", {"tenant": session.tenant}
    )
    if units:
        found["org unit"] = dict.fromkeys(units)
    return found


async def require_known_names(session: Session, references: Iterable[Reference], *, wait: float = WAIT_SECONDS) -> None:
    """Raises Invalid when a reference is to a name that this service does not know, after waiting up to `wait` seconds."""
    checked = list(references)
    until = asyncio.get_running_loop().time() + wait
    while checked and (problems := find_unknown_names(checked, await load_known_names(session))):
        if asyncio.get_running_loop().time() >= until:
            first = "; ".join(each.problem for each in problems[:3])
            raise Invalid("unknown-names", f"It names what is not there: {first}.", errors=problems)
        await asyncio.sleep(_POLL_SECONDS)


async def publish_section(
    session: Session, service: str, version: int | None, content: dict[str, Any], references: Iterable[Reference] = ()
) -> None:
    """Publishes the service's complete section and its references. `version`: the blueprint's; None after an edit, which
    raises Conflict when it removes a name that another service refers to (`require_unnamed`)."""
    names = extract_names(service, content)
    before = await session.scalar(
        "SELECT names FROM section_names WHERE tenant = :tenant AND service = :service",
        {"tenant": session.tenant, "service": service},
    )
    if version is None and before is not None:
        await require_unnamed(session, before, names)
    values = {"tenant": session.tenant, "service": service, "names": names, "event_id": new_id()}
    statement = insert(section_names).values(values)
    await session.execute(
        statement.on_conflict_do_update(index_elements=["tenant", "service"], set_={"names": statement.excluded.names})
    )
    named = [
        Named(pointer=each.pointer, kind=each.kind, name=each.name, inside_of=list(each.parents)) for each in references
    ]
    session.emit(SectionApplied(service=service, version=version, content=content, named=named))


async def require_unnamed(session: Session, before: Names, after: Names, *, wait: float = WAIT_SECONDS) -> None:
    """Raises Conflict when another service refers to a name that is in `before` and not in `after`. Waits up to `wait`
    seconds first: the event that removes the reference may be on its way. The problems' pointers name the other service
    and the place in its section."""
    if before == after:
        return
    until = asyncio.get_running_loop().time() + wait
    while problems := await _find_new_dangling_names(session, before, after):
        if asyncio.get_running_loop().time() >= until:
            places = ", ".join(f"`{each.pointer}`" for each in problems[:5])
            raise Conflict(
                "named-elsewhere",
                f"What this takes away is named by others: {places}. Change these first, or publish all as a blueprint.",
                errors=problems,
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _find_new_dangling_names(session: Session, before: Names, after: Names) -> list[FieldProblem]:
    old = await _find_dangling_names(session, before)
    return [each for each in await _find_dangling_names(session, after) if each not in old]


async def _find_dangling_names(session: Session, names: Names) -> list[FieldProblem]:
    """A problem for each reference of another service to a name that is not in `names`."""
    rows = await session.tuples(
        "SELECT service, named FROM section_names WHERE tenant = :tenant AND named IS NOT NULL ORDER BY service",
        {"tenant": session.tenant},
    )
    found = [
        Reference(f"/{service}{each['pointer']}", each["kind"], each["name"], tuple(each["inside_of"]))
        for service, named in rows
        for each in named
    ]
    return [
        each.model_copy(update={"cure": "name another one there, or none"}) for each in find_unknown_names(found, names)
    ]
