"""Days as the tenant counts them."""

from datetime import date, datetime

from contracts.directory import TenantChanged
from servicekit import directory
from servicekit.errors import NotFound, Unavailable
from storage import Session

from gamification.model.improvement import day_of


async def tenant(session: Session) -> TenantChanged:
    """Raises Unavailable while the copy of the directory lies behind the event at hand."""
    try:
        return await directory.tenant(session)
    except NotFound as error:
        raise Unavailable("directory-behind", error.detail) from error


def today(tenant: TenantChanged, now: datetime) -> date:
    return day_of(now, tenant.time_zone, tenant.day_start_minutes)
