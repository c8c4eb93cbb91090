"""Days as they are counted where the agents work."""

from collections.abc import Iterable
from uuid import UUID

from contracts.directory import TenantChanged
from servicekit import directory
from servicekit.errors import NotFound, Unavailable
from servicekit.workdays import Workdays
from storage import Session


async def require_tenant(session: Session) -> TenantChanged:
    """Raises Unavailable while the copy of the directory lies behind the event at hand."""
    try:
        return await directory.load_tenant(session)
    except NotFound as error:
        raise Unavailable("directory-behind", error.detail) from error


async def load_workdays(session: Session, agents: Iterable[UUID]) -> Workdays:
    """Raises Unavailable as `tenant` does."""
    await require_tenant(session)
    return await directory.load_workdays(session, set(agents))
