"""How far other services lag behind this one for the caller's tenant: events that still wait in the outbox."""

from fastapi import APIRouter
from pydantic import BaseModel
from storage.outbox import measure_backlog

from servicekit.door import CallerDep, WorkSession, route_policy, router


class Behind(BaseModel):
    """How many `events` of the tenant wait in this service's outbox, and for how many `seconds` the oldest has waited. At
    ingest, these are the records that no KPI value includes yet. Both are 0 when other services are up to date."""

    events: int
    seconds: float


def behind_router() -> APIRouter:
    """The route `GET /behind`, which every service has."""
    routes = router(tags=["behind"])

    @routes.get("/behind")
    @route_policy(reach="tenant")
    async def get_behind(session: WorkSession, caller: CallerDep) -> Behind:  # pyright: ignore[reportUnusedFunction]
        """How far what others know lags behind what this service has recorded of the tenant."""
        events, seconds = await measure_backlog(session)
        return Behind(events=events, seconds=seconds)

    return routes
