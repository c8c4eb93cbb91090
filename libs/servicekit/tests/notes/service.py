"""It bears the name of a real service, since only a declared writer may emit."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from contracts import new_id
from contracts.assignments import AssignmentAssigned
from contracts.directory import PersonChanged
from contracts.legs import LegRecorded
from contracts.scores import BandEntered
from fastapi import Form, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from servicekit import (
    CallerDep,
    DaysDep,
    Page,
    PageDep,
    ReceivedEvent,
    Service,
    ServiceContext,
    ServiceParts,
    Subscription,
    WorkSession,
    page_of,
    route_policy,
)
from servicekit import router as door_router
from servicekit.errors import Conflict, FieldProblem, Invalid
from servicekit.service_definition import DueItem
from servicekit.visibility import load_visible_agents, require_agent
from servicekit.workers import run_in_worker
from sqlalchemy import Column, Integer, Table, Text, UniqueConstraint, Uuid
from storage import Migrations, Session, create_metadata

tables = create_metadata()
note = Table(
    "note",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("text", Text, nullable=False),
    # Checked at the commit only: what a handler cannot see failing.
    UniqueConstraint("tenant", "text", deferrable=True, initially="DEFERRED"),
)
effect = Table(
    "effect",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("seen", Integer, nullable=False),
    Column("times", Integer, nullable=False),
)
routes = door_router()


class NewNote(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1)
    slow: float = 0
    then: str | None = None


class Note(BaseModel):
    id: UUID
    text: str


async def write(session: Session, text: str) -> Note:
    made = Note(id=new_id(), text=text)
    await session.execute(note.insert().values(tenant=session.tenant, id=made.id, text=text))
    session.emit(AssignmentAssigned.model_validate({**AssignmentAssigned.example, "assignment_id": made.id}))
    return made


@routes.post("/notes", status_code=201)
@route_policy(reach="tenant")
async def write_note(new: NewNote, session: WorkSession, caller: CallerDep, response: Response) -> Note:
    caller.require_role("agent", "tenant_admin")
    made = await write(session, new.text)
    await asyncio.sleep(new.slow)  # sleep: a slow handler
    if new.then == "conflict":
        raise Conflict("thought-better", "Not after all.")
    if new.then == "invalid":
        problem = FieldProblem(pointer="/text", problem="no", cure="another", line=3, column=5)
        raise Invalid("not-this", "Not this.", errors=[problem])
    if new.then == "crash":
        raise RuntimeError("a secret of the inside")
    response.headers["location"] = f"/notes/{made.id}"
    return made


@routes.post("/forms", status_code=201)
@route_policy(reach="tenant")
async def write_form(text: Annotated[str, Form()], session: WorkSession) -> Note:
    return await write(session, text)


@routes.post("/told")
@route_policy(reach="tenant")
async def tell(session: WorkSession) -> StreamingResponse:
    await write(session, "told")

    async def lines() -> AsyncIterator[str]:
        yield "one\n"
        yield "two\n"

    return StreamingResponse(lines(), media_type="text/plain")


@routes.post("/secrets")
@route_policy(reach="tenant", idempotency_key=False)
async def tell_a_secret(caller: CallerDep) -> str:
    return "never twice"


@routes.post("/uploads")
@route_policy(body_bytes=None, reach="tenant")
async def upload(request: Request) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@routes.post("/large")
@route_policy(1_000_000, roles=("tenant_admin",))
async def write_large(new: NewNote, session: WorkSession) -> int:
    return len(new.text)


class Reading(BaseModel):
    seconds: float


@routes.post("/readings")
@route_policy(reach="tenant", idempotency_key=False)
async def read_in_worker(reading: Reading, caller: CallerDep) -> None:
    """As long as it takes, or for half a second."""
    await run_in_worker(time.sleep, reading.seconds, seconds=0.5)


@routes.get("/days")
@route_policy(reach="tenant")
async def list_days(caller: CallerDep, days: DaysDep) -> list[str]:
    return [each.isoformat() for each in days.within(caller.today, days=7)]


@routes.post("/streams")
@route_policy(reach="tenant")
async def read_stream(request: Request, session: WorkSession) -> int:
    return sum([len(chunk) async for chunk in request.stream()])


@routes.get("/notes")
@route_policy(reach="tenant")
async def list_notes(session: WorkSession, page: PageDep) -> Page[Note]:
    rows = await session.rows(
        "SELECT id, text FROM note WHERE tenant = :tenant AND (cast(:after AS uuid) IS NULL OR id > :after) "
        "ORDER BY id LIMIT :limit",
        {"tenant": session.tenant, "after": page.after[0] if page.after else None, "limit": page.limit + 1},
    )
    return page_of([Note(**row) for row in rows], page, cursor=lambda each: [str(each.id)])


@routes.get("/me")
@route_policy(reach="tenant")
async def me(session: WorkSession, caller: CallerDep) -> dict[str, Any]:
    return {
        "slug": caller.person.slug,
        "roles": sorted(grant.role for grant in caller.roles),
        "now": session.now.isoformat(),
        "today": caller.today.isoformat(),
    }


@routes.get("/visible")
@route_policy(reach="tenant")
async def visible(session: WorkSession, caller: CallerDep) -> list[UUID] | None:
    found = await load_visible_agents(session, caller)
    return None if found is None else sorted(found)


@routes.get("/agents/{agent_id}")
@route_policy(reach="tenant")
async def agent(agent_id: UUID, session: WorkSession, caller: CallerDep) -> UUID:
    await require_agent(session, caller, agent_id)
    return agent_id


class Mood:
    """What the handlers do next; a test sets it."""

    poison: bool = True
    fail_due: bool = True
    handled: list[str]

    def __init__(self) -> None:
        self.handled = []


async def mark(session: Session, tenant: str, ref: str) -> None:
    """`seen`: how many effects, of whatever tenant, this session could see."""
    seen = await session.scalar("SELECT count(*) FROM effect")
    await session.execute(
        "INSERT INTO effect (tenant, ref, seen, times) VALUES (:tenant, :ref, :seen, 1) "
        "ON CONFLICT (tenant, ref) DO UPDATE SET times = effect.times + 1",
        {"tenant": tenant, "ref": ref, "seen": seen},
    )


def wire(kit: ServiceContext) -> ServiceParts:
    mood = Mood()

    async def on_band_entered(session: Session, event: ReceivedEvent[BandEntered]) -> None:
        await mark(session, session.tenant, str(event.body.band_event_id))
        session.emit(AssignmentAssigned.model_validate(AssignmentAssigned.example))
        if event.body.kpi == "poison" and mood.poison:
            raise ValueError("this one cannot be handled")

    async def on_legs(session: Session, events: list[ReceivedEvent[LegRecorded]]) -> None:
        for event in events:
            await mark(session, event.tenant, event.body.external_id)

    async def on_person_changed(session: Session, event: ReceivedEvent[PersonChanged]) -> None:
        # The copy of the directory was updated before.
        if await session.scalar("SELECT 1 FROM directory_person WHERE id = :id", {"id": event.body.id}):
            await mark(session, session.tenant, f"person {event.body.slug}")

    async def on_remind(session: Session, item: DueItem) -> None:
        await mark(session, item.tenant, item.ref)
        await asyncio.sleep(item.body.get("slow", 0))  # sleep: a slow handler
        mood.handled.append(item.ref)

    async def on_fragile(session: Session, item: DueItem) -> None:
        await mark(session, item.tenant, item.ref)
        if mood.fail_due:
            raise RuntimeError("not now")

    return ServiceParts(
        router=routes,
        subscriptions=[
            Subscription("bands", {BandEntered: on_band_entered}),
            Subscription("legs", batch=on_legs, max_messages=2000),
            Subscription("directory", {PersonChanged: on_person_changed}),
        ],
        due_handlers={"remind": on_remind, "fragile": on_fragile},
        state=mood,
    )


service = Service(name="training", title="Notes", migrations=Migrations("training", "notes.migrations"), wire=wire)
