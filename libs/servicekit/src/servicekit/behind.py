"""How far behind the caller's tenant is: what a service has recorded and nobody else knows of yet."""

from fastapi import APIRouter
from pydantic import BaseModel
from storage.outbox import waiting_of

from servicekit.door import CallerDep, WorkSession, accepts, router


class Behind(BaseModel):
    """`events` of the tenant wait in this service's outbox, the oldest for `seconds`. At ingest these are the records that
    no figure knows of yet; both 0: the figures are up to date, but for a moment."""

    events: int
    seconds: float


def behind_router() -> APIRouter:
    routes = router(tags=["behind"])

    @routes.get("/behind")
    @accepts(reach="tenant")
    async def get_behind(session: WorkSession, caller: CallerDep) -> Behind:  # pyright: ignore[reportUnusedFunction]
        """How far what others know lags behind what this service has recorded of the tenant."""
        events, seconds = await waiting_of(session)
        return Behind(events=events, seconds=seconds)

    return routes
