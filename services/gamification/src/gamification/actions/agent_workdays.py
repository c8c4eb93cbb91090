"""Workdays of agents, by the time zone of their site."""

from collections.abc import Iterable
from uuid import UUID

from contracts.directory import TenantChanged
from servicekit import directory
from servicekit.errors import NotFound, Unavailable
from servicekit.workdays import Workdays
from storage import Session


async def require_tenant(session: Session) -> TenantChanged:
    """The session's tenant. Raises Unavailable while the directory copy does not have it yet."""
    try:
        return await directory.load_tenant(session)
    except NotFound as error:
        raise Unavailable("directory-behind", error.detail) from error


async def load_workdays(session: Session, agents: Iterable[UUID]) -> Workdays:
    """The workdays of these agents. Raises Unavailable, as `require_tenant` does."""
    await require_tenant(session)
    return await directory.load_workdays(session, set(agents))
