"""Whose rows a list may show."""

from uuid import UUID

from servicekit import Caller, directory
from storage import Session


async def agents_asked_for(
    session: Session, caller: Caller, *, agent: str | None, team: str | None
) -> set[UUID] | None:
    """Those of `agent` (id or slug) and `team` (id or slug) whom the caller may see; None: everyone in the tenant.

    Raises NotFound for unknown ones, Forbidden for an agent the caller may not see.
    """
    visible = await directory.visible_agents(session, caller)
    if agent is not None:
        person = await directory.find_person(session, agent)
        await directory.require_agent(session, caller, person.id)
        visible = {person.id}
    if team is not None:
        unit = await directory.find_org_unit(session, team)
        members = await directory.agents_of(session, unit.id, session.now.date())
        visible = members if visible is None else visible & members
    return visible
