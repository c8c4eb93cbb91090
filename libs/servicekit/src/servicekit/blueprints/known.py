"""What the other services' things are called, kept here, so that an edit that names something unknown is refused at once."""

import asyncio
from collections.abc import Iterable
from typing import Any, get_args

from contracts.blueprints import SectionApplied
from contracts.directory import Role
from contracts.names import Names, names_of
from sqlalchemy.dialects.postgresql import insert
from storage import Session
from storage.tables import section_names

from servicekit.blueprints.checking import Reference, unknown_names
from servicekit.errors import Invalid
from servicekit.kit import Received, Subscription

WAIT_SECONDS = 2.0
"""For a name that was published a moment ago, of which the news is on its way."""
_LOOK_SECONDS = 0.1


def names_heard(*services: str) -> list[Subscription]:
    """Reads what these services say of their sections."""
    return [Subscription(f"{service}.sections", {SectionApplied: _hear}) for service in services]


async def _hear(session: Session, event: Received[SectionApplied]) -> None:
    body = event.body
    statement = insert(section_names).values(
        tenant=session.tenant,
        service=body.service,
        names=names_of(body.service, body.content),
        event_id=event.attributes.id,
    )
    new = statement.excluded
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant", "service"],
            set_={"names": new.names, "event_id": new.event_id},
            where=section_names.c.event_id < new.event_id,
        )
    )


async def known_names(session: Session) -> Names:
    """The names this service has heard of, with those of the directory. Of a service that never said what it has, none of
    its kinds is there."""
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


async def require_known(session: Session, references: Iterable[Reference], *, wait: float = WAIT_SECONDS) -> None:
    """Raises Invalid where one leads to nothing that this service has heard of, also after a moment's wait."""
    asked = list(references)
    until = asyncio.get_running_loop().time() + wait
    while asked and (problems := unknown_names(asked, await known_names(session))):
        if asyncio.get_running_loop().time() >= until:
            told = "; ".join(each.problem for each in problems[:3])
            raise Invalid("unknown-names", f"It names what is not there: {told}.", errors=problems)
        await asyncio.sleep(_LOOK_SECONDS)
