"""Submissions of a form."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from servicekit import CallerDep, DocumentsDep, Page, PageDep, WorkSession, directory, page_of, route_policy, visibility
from servicekit import router as door_router
from storage import Session

from forms import store
from forms.actions import submissions
from forms.actions.definitions import unknown_form_error
from forms.actions.submissions import Answers, NewSubmission
from forms.model import Result
from forms.model.records import Submission

router = door_router(tags=["submissions"])


class SubmissionSummary(BaseModel):
    """`workday` is the day of judging. `score` in hundredths of a percent, None where the form is not scored or nothing in it applied."""

    id: UUID
    form: str
    form_version: int
    version: int
    void: bool
    agent_id: UUID | None
    agent: str | None
    name: str | None
    interaction_id: UUID | None
    leg: int | None
    submitted_by: UUID
    submitted_at: datetime
    workday: date
    changed_at: datetime
    score: int | None
    automatic_fail: bool


class SubmissionVersion(BaseModel):
    """A version of a submission: who made it, and when."""

    version: int
    void: bool
    at: datetime
    by: UUID


class SubmissionView(SubmissionSummary):
    """`result` says how the score came about; `history` who made which version when."""

    answers: dict[str, Any]
    notes: str
    result: Result | None
    history: list[SubmissionVersion]


async def _render_view(session: Session, documents: DocumentsDep, submission: Submission) -> SubmissionView:
    content = await submissions.load_content(session, documents, submission)
    agent_id = submission.agent_id
    person = None if agent_id is None else (await directory.load_people(session, [agent_id])).get(agent_id)
    history = await store.load_submission_history(session, submission.id)
    return SubmissionView.model_validate(
        {
            **vars(submission),
            **content,
            "agent": person.slug if person else None,
            "name": person.display_name if person else None,
            "history": [each._asdict() for each in history],
        }
    )


@router.get("/forms/{form}/submissions")
@route_policy(reach="people")
async def list_submissions(
    form: str,
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    agent: str | None = None,
    team: str | None = None,
    interaction: UUID | None = None,
) -> Page[SubmissionSummary]:
    """Newest first: those that one submitted, and those about people one may see on the day. `agent` and `team` (its
    people of that day): id or slug."""
    if await store.find_form(session, form) is None:
        raise unknown_form_error(form)
    before = page.value(UUID)
    rows = await store.list_submissions(
        session,
        form,
        visible=await visibility.load_visibility(session, caller, agent=agent, team=team, refuse=False),
        interaction=interaction,
        before=before,
        limit=page.limit + 1,
    )
    return page_of(
        [SubmissionSummary.model_validate(row, from_attributes=True) for row in rows],
        page,
        cursor=lambda each: [str(each.id)],
    )


@router.post("/forms/{form}/submissions", status_code=201)
@route_policy(reach="people")
async def add_submission(
    form: str, body: NewSubmission, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> SubmissionView:
    """Fills in a published version. Evaluations need quality_analyst, team_lead or tenant_admin and an agent they may
    see; quizzes and surveys are anybody's. Answers to hidden questions are left out."""
    return await _render_view(session, documents, await submissions.submit(session, documents, caller, form, body))


@router.get("/forms/{form}/submissions/{submission}")
@route_policy(reach="people")
async def get_submission(
    form: str, submission: UUID, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> SubmissionView:
    """A submission with its answers and its result."""
    return await _render_view(session, documents, await submissions.find_visible(session, caller, form, submission))


@router.put("/forms/{form}/submissions/{submission}")
@route_policy(reach="people", lock_resource_only=True)
async def correct_submission(
    form: str, submission: UUID, body: Answers, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> SubmissionView:
    """Corrects a submission, by its author or a tenant_admin (a quiz: only the latter)."""
    return await _render_view(
        session, documents, await submissions.correct(session, documents, caller, form, submission, body)
    )


@router.delete("/forms/{form}/submissions/{submission}", status_code=204)
@route_policy(reach="people", lock_resource_only=True)
async def take_back_submission(
    form: str, submission: UUID, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> None:
    """Voids a submission: it no longer counts anywhere."""
    await submissions.void_submission(session, documents, caller, form, submission)
