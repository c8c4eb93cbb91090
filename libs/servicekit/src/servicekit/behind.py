"""How far behind the caller's tenant is: what a service has recorded and nobody else knows of yet."""

from fastapi import APIRouter
from pydantic import BaseModel
from storage.outbox import measure_backlog

from servicekit.door import CallerDep, WorkSession, route_policy, router


class Behind(BaseModel):
    """`events` of the tenant wait in this service's outbox, the oldest for `seconds`. At ingest these are the records that
    no figure knows of yet; both 0: the figures are up to date, but for a moment."""

    events: int
    seconds: float


def behind_router() -> APIRouter:
    routes = router(tags=["behind"])

    @routes.get("/behind")
    @route_policy(reach="tenant")
    async def get_behind(session: WorkSession, caller: CallerDep) -> Behind:  # pyright: ignore[reportUnusedFunction]
        """How far what others know lags behind what this service has recorded of the tenant."""
        events, seconds = await measure_backlog(session)
        return Behind(events=events, seconds=seconds)

    return routes
