"""Assignments: who has what to learn, and learning it."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import Body
from pydantic import BaseModel, Field, model_validator
from servicekit import (
    Caller,
    CallerDep,
    DocumentsDep,
    Page,
    PageDep,
    WorkSession,
    directory,
    page_of,
    route_policy,
    visibility,
)
from servicekit import router as door_router
from servicekit.errors import Forbidden
from servicekit.reasons import Reason, reason_of
from servicekit.strict_models import StrictModel
from servicekit.times import Instant
from storage import Session

from training.actions import assignments as actions
from training.actions.rule_assignments import find_origin, find_titles
from training.actions.templates import load_content, require_version
from training.model.assignment import AssignmentRow, Status
from training.model.content import Kind, Slug, render_for_learner
from training.model.rules import OPEN_STATUSES, Trigger, compute_due_at
from training.store import assignments as store

router = door_router(tags=["assignments"])

GIVERS = ("trainer", "team_lead", "tenant_admin")
"""They give trainings by hand, and take them back, to and from those whom they have the role over."""


class Assignment(BaseModel):
    """`agent` is the person's slug, `name` the name. `rule`, `kpi`, `band` and their titles
    (by language, as they were then) are null when it was given by hand. `trigger`: what made
    the rule give it; `follows`: the assignment that was failed or overdue. `failed`: a quiz whose
    attempts are used up. `overdue`: open, and past its due date."""

    id: UUID
    agent_id: UUID
    agent: str | None
    name: str | None
    template: str
    template_version: int
    title: dict[str, str]
    kind: Kind
    status: Status
    overdue: bool
    rule: str | None
    rule_title: dict[str, str] | None
    kpi: str | None
    kpi_title: dict[str, str] | None
    band: str | None
    band_title: dict[str, str] | None
    band_event_id: UUID | None
    trigger: Trigger | None
    follows: UUID | None
    assigned_by: UUID | None
    assigned_at: datetime
    due_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    withdrawn_at: datetime | None
    withdrawn_reason: Reason | None
    attempts: int
    score_percent: int | None
    passed: bool | None


class Attempt(BaseModel):
    """An attempt at the test of a training. `number` counts from 1."""

    number: int
    at: datetime
    score_percent: int
    passed: bool


class AssignmentDetail(Assignment):
    """`evidence`: the KPI's model version, the windows with their values and samples, and the rule as it then was.
    `partial`: it has windows of days on which the caller may not see this person, which are left out.
    `content`: in the caller's language, without the answers."""

    evidence: dict[str, Any] | None
    partial: bool = False
    content: dict[str, Any]
    results: list[Attempt]


class NewAssignment(StrictModel):
    """`agent`: id or slug. Due at an instant, or in so many days, or never."""

    agent: str
    template: Slug
    due_at: Instant | None = None
    due_days: int | None = Field(default=None, ge=1, le=3650)

    @model_validator(mode="after")
    def _one_date(self) -> Self:
        if self.due_at is not None and self.due_days is not None:
            raise ValueError("give `due_at` or `due_days`, not both")
        return self


class Completion(StrictModel):
    """`answers`: the chosen choices by question id; not needed for a reading."""

    answers: dict[str, list[str]] = {}


@router.get("/assignments")
@route_policy(reach="people")
async def list_assignments(
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    agent: str | None = None,
    team: str | None = None,
    status: Status | None = None,
    template: str | None = None,
    overdue: bool | None = None,
) -> Page[Assignment]:
    """Newest first, of the people the caller may see on one of the days from assigned to closed. `team`: those who were
    its people then."""
    rows = await store.load_page(
        session,
        visible=await visibility.load_visibility(session, caller, agent=agent, team=team),
        status=status,
        template=template,
        overdue=overdue,
        after=page.values(datetime.fromisoformat, UUID),
        limit=page.limit + 1,
    )
    items = [_assignment(row) for row in rows]
    return page_of(items, page, cursor=lambda each: [each.assigned_at.isoformat(), str(each.id)])


@router.post("/assignments", status_code=201)
@route_policy(roles=GIVERS, reach="people")
async def add_assignment(body: NewAssignment, session: WorkSession, caller: CallerDep) -> Assignment:
    """Gives a training by hand to somebody the caller may see."""
    person = await directory.find_person(session, body.agent)
    await visibility.require_agent(session, caller.acting_as(*GIVERS), person.id)
    row = await actions.assign_by_hand(
        session,
        agent_id=person.id,
        template=body.template,
        due_at=body.due_at or compute_due_at(body.due_days, session.now),
        by=caller.person_id,
    )
    return _assignment(row)


@router.get("/assignments/{assignment}")
@route_policy(reach="people")
async def get_assignment(
    assignment: UUID, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> AssignmentDetail:
    """An assignment with what is to be learned and why it was given."""
    row = await actions.require_assignment(session, assignment)
    visible = await visibility.load_visibility(session, caller)
    if not await store.is_visible(session, assignment, visible):
        raise visibility.agent_forbidden()
    version = await require_version(session, row.template, row.template_version)
    content = await load_content(documents, session.tenant, version.document)
    return AssignmentDetail(
        **_assignment(row).model_dump(),
        **await _evidence(session, visible, row),
        content=render_for_learner(content, await _languages(session, caller)),
        results=[Attempt(**each._asdict()) for each in await store.load_attempts(session, assignment)],
    )


@router.delete("/assignments/{assignment}", status_code=204)
@route_policy(roles=GIVERS, reach="people", lock_resource_only=True)
async def withdraw_assignment(assignment: UUID, session: WorkSession, caller: CallerDep) -> None:
    """Takes back what is not finished, given by hand or by a rule. It can still be read, as withdrawn."""
    row = await actions.require_assignment(session, assignment)
    await visibility.require_agent(session, caller.acting_as(*GIVERS), row.agent_id)
    await actions.withdraw_by_hand(session, assignment)


@router.post("/assignments/{assignment}/start")
@route_policy(reach="own")
async def start_assignment(assignment: UUID, session: WorkSession, caller: CallerDep) -> Assignment:
    """The learner opens it. Doing so again changes nothing."""
    await _require_own(session, caller, assignment)
    return _assignment(await actions.start(session, assignment))


@router.post("/assignments/{assignment}/complete")
@route_policy(reach="own")
async def complete_assignment(
    assignment: UUID,
    session: WorkSession,
    caller: CallerDep,
    documents: DocumentsDep,
    completion: Annotated[Completion | None, Body()] = None,
) -> Assignment:
    """The learner is done, or hands in a quiz. A quiz that is not passed stays `started` while attempts are left."""
    await _require_own(session, caller, assignment)
    answers = completion.answers if completion else {}
    return _assignment(await actions.complete(session, documents, assignment, answers))


async def _require_own(session: Session, caller: Caller, assignment: UUID) -> None:
    row = await actions.require_assignment(session, assignment)
    if row.agent_id != caller.person_id:
        raise Forbidden("not-your-assignment", "Only the person who was given it can do this.")


async def _evidence(session: Session, visible: visibility.VisibilityFilter, row: AssignmentRow) -> dict[str, Any]:
    if row.evidence is None:
        return {"evidence": None}
    windows: list[dict[str, Any]] = row.evidence.get("windows", [])
    seen = await visible.filter_visible_windows(session, {(row.agent_id, each["window"]) for each in windows})
    shown = [each for each in windows if (row.agent_id, each["window"]) in seen]
    return {"evidence": row.evidence | {"windows": shown}, "partial": len(shown) < len(windows)}


async def _languages(session: Session, caller: Caller) -> list[str]:
    tenant = await directory.load_tenant(session)
    return [each for each in (caller.person.language, tenant.default_language) if each]


def _assignment(row: AssignmentRow) -> Assignment:
    overdue = row.overdue_at is not None and row.status in OPEN_STATUSES
    why = reason_of(row.withdrawn_code, row.withdrawn_values)
    return Assignment.model_validate(
        {**vars(row), **find_titles(row), **find_origin(row), "overdue": overdue, "withdrawn_reason": why}
    )
