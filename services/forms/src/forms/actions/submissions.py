"""Filling in forms: a submission is pinned to a version of its form; a correction is a new version of the submission."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from contracts import new_id
from contracts.submissions import SubmissionScored, SubmissionSubmitted
from pydantic import Field
from servicekit import Caller, directory, visibility
from servicekit.errors import Conflict, FieldProblem, Forbidden, Invalid, NotFound
from servicekit.strict_models import StrictModel
from servicekit.workers import run_in_worker
from storage import DocumentStore, Session

from forms import store
from forms.actions.definitions import load_version
from forms.model import FilledForm, FormDefinition, Result, event_answers, fill_form, limits, score_submission
from forms.model.records import Submission, SubmissionContent

# Roles that may fill in a form of a kind about somebody else.
SUBMITTER_ROLES = {
    "evaluation": ("quality_analyst", "team_lead", "tenant_admin"),
    "note": ("quality_analyst", "team_lead", "tenant_admin", "trainer"),
    "quiz": ("quality_analyst", "team_lead", "tenant_admin", "trainer"),
    "survey": ("quality_analyst", "team_lead", "tenant_admin", "trainer", "integration"),
}


class Answers(StrictModel):
    """`answers` by question; null is no answer."""

    answers: dict[str, Any]
    notes: str = Field(default="", max_length=10_000)


class NewSubmission(Answers):
    """`version` None: the form's newest. `agent`: id or slug, `agent_id` is its other name; neither: oneself, where the
    form's kind allows that. `interaction_id`: the call that is judged. KPIs count the submission for the agent and on the
    workday of this call, as soon as it is known; `leg` says which leg of it, by default the first that the agent took."""

    version: int | None = Field(default=None, ge=1)
    agent: str | None = Field(default=None, max_length=100)
    agent_id: UUID | None = None
    interaction_id: UUID | None = None
    leg: int | None = Field(default=None, ge=1, le=32767)


async def submit(
    session: Session, documents: DocumentStore, caller: Caller, slug: str, body: NewSubmission
) -> Submission:
    """Stores and scores a new submission, and publishes it. Raises Invalid with a pointer for each wrong answer,
    NotFound, Forbidden, and Conflict for a form that is retired or was never published."""
    version, form = await load_version(session, documents, slug, body.version)
    if (head := await store.find_form(session, slug)) and head.retired:
        raise Conflict("form-retired", f"The form `{slug}` is retired: nobody fills it in any more.")
    agent_id = await _resolve_subject(session, caller, form, await _resolve_agent_id(session, body))
    if body.leg is not None and body.interaction_id is None:
        problem = FieldProblem(
            pointer="/leg", problem="a leg of no call", cure="name its `interaction_id`, or leave it out"
        )
        raise Invalid("leg-of-no-call", "`leg` needs `interaction_id`.", errors=[problem])
    filled, result = await run_in_worker(_validate_and_score, form, body)
    person_id = agent_id or caller.person_id
    workdays = await directory.load_workdays(session, [person_id])
    submission = Submission(
        id=new_id(),
        form=slug,
        form_version=version,
        version=1,
        document=new_id(),
        agent_id=agent_id,
        interaction_id=body.interaction_id,
        leg=body.leg,
        submitted_by=caller.person_id,
        submitted_at=session.now,
        workday=workdays.workday_of(person_id, session.now),
        changed_at=session.now,
        score=None,
        automatic_fail=False,
        void=False,
    )
    return await _save_version(
        session, documents, form, submission, filled, result, notes=body.notes, by=caller.person_id
    )


async def correct(
    session: Session, documents: DocumentStore, caller: Caller, slug: str, id: UUID, body: Answers
) -> Submission:
    """Stores a new version of a submission, with its form version and workday unchanged; equal content makes none.
    Raises NotFound, Forbidden, Invalid, and Conflict when the submission is void."""
    submission = await _lock_for_change(session, caller, slug, id)
    if submission.void:
        raise Conflict("submission-void", "This submission was taken back. Submit a new one.")
    _, form = await load_version(session, documents, slug, submission.form_version)
    filled, result = await run_in_worker(_validate_and_score, form, body)
    before = await load_content(session, documents, submission)
    if (before["answers"], before["notes"]) == (filled.answers, body.notes):
        return submission
    changed = replace(submission, version=submission.version + 1)
    if submission.score is not None and (result is None or result.score is None):
        # The new version has no score: readers must void the old one.
        session.emit(_build_scored_event(form, replace(changed, void=True), submission.score, filled, None))
    return await _save_version(session, documents, form, changed, filled, result, notes=body.notes, by=caller.person_id)


async def void_submission(session: Session, documents: DocumentStore, caller: Caller, slug: str, id: UUID) -> None:
    """Voids a submission; doing it again changes nothing. Raises NotFound and Forbidden."""
    submission = await _lock_for_change(session, caller, slug, id)
    if submission.void:
        return
    changed = replace(submission, version=submission.version + 1, void=True, changed_at=session.now)
    await store.upsert_submission(session, changed, by=caller.person_id)
    _, form = await load_version(session, documents, slug, submission.form_version)
    if submission.score is not None:
        session.emit(_build_scored_event(form, changed, submission.score, None, None))
    else:
        session.emit(SubmissionSubmitted(**_event_fields(form, changed)))


async def load_content(session: Session, documents: DocumentStore, submission: Submission) -> SubmissionContent:
    """Answers, notes and result of a submission. Raises NotFound when its document is missing."""
    found = await store.load_contents(documents, session.tenant, store.SUBMISSIONS, [submission.document])
    if submission.document not in found:
        raise NotFound("submission-missing", f"The document {submission.document} is missing from the document store.")
    return json.loads(found[submission.document])


async def find_visible(session: Session, caller: Caller, slug: str, id: UUID) -> Submission:
    """A submission that the caller made, or that is about somebody whom the caller may see on its workday. Raises
    NotFound, also where the submission exists and the caller may not see it."""
    found = await store.find_submission(session, slug, id)
    if found is not None and found.submitted_by != caller.person_id:
        visible = await visibility.load_visibility(session, caller)
        if not await visible.is_visible(session, found.agent_id, found.workday):
            found = None
    if found is None:
        raise NotFound("unknown-submission", f"There is no submission {id} of `{slug}`.")
    return found


async def _lock_for_change(session: Session, caller: Caller, slug: str, id: UUID) -> Submission:
    """The submission, locked. Raises Forbidden unless the caller is its author or an administrator."""
    await find_visible(session, caller, slug, id)
    found = await store.find_submission(session, slug, id, lock=True)
    head = await store.find_form(session, slug)
    assert found is not None
    assert head is not None
    own = found.submitted_by == caller.person_id and head.kind != "quiz"
    if not own and not await _is_administrator_of(session, caller, found):
        raise Forbidden(
            "not-your-submission", "Its author or a tenant_admin may change a submission; a quiz only the latter."
        )
    return found


async def _is_administrator_of(session: Session, caller: Caller, submission: Submission) -> bool:
    """Whether the caller is an administrator of the submission's agent on its workday."""
    if not caller.has_role("tenant_admin"):
        return False
    visible = await visibility.load_visibility(session, caller.acting_as("tenant_admin"))
    return visible.everyone or await visible.is_visible(session, submission.agent_id, submission.workday)


async def _resolve_agent_id(session: Session, body: NewSubmission) -> UUID | None:
    if body.agent is None:
        return body.agent_id
    found = (await directory.find_person(session, body.agent)).id
    if body.agent_id not in (None, found):
        problem = FieldProblem(pointer="/agent_id", problem="another person than `agent`", cure="name one of them")
        raise Invalid("two-agents", "`agent` and `agent_id` name two people.", errors=[problem])
    return found


async def _resolve_subject(
    session: Session, caller: Caller, form: FormDefinition, agent_id: UUID | None
) -> UUID | None:
    """The id of the person that the submission is about; None: nobody. Raises Forbidden and Invalid."""
    own_matter = form.kind in ("quiz", "survey")
    if form.about == "none":
        if agent_id is not None:
            raise Invalid(
                "about-nobody",
                f"The form `{form.form}` is about nobody.",
                errors=[FieldProblem(pointer="/agent_id", problem="not taken here", cure="leave it out")],
            )
        if not own_matter:
            caller.require_role(*SUBMITTER_ROLES[form.kind])
        return None
    agent_id = agent_id or (caller.person_id if own_matter else None)
    if agent_id is None:
        problem = FieldProblem(pointer="/agent_id", problem="no agent named", cure="the id of a person")
        raise Invalid("agent-needed", f"The form `{form.form}` is about an agent.", errors=[problem])
    if agent_id == caller.person_id:
        if not own_matter:
            raise Forbidden("about-oneself", f"Nobody fills in a form of kind {form.kind} about oneself.")
        return agent_id
    caller.require_role(*SUBMITTER_ROLES[form.kind])
    await visibility.require_agent(session, caller.acting_as(*SUBMITTER_ROLES[form.kind]), agent_id)
    if not await directory.load_people(session, [agent_id]):
        problem = FieldProblem(pointer="/agent_id", problem="nobody has this id", cure="the id of a person")
        raise Invalid("unknown-person", f"There is no person {agent_id}.", errors=[problem])
    return agent_id


def _validate_and_score(form: FormDefinition, body: Answers) -> tuple[FilledForm, Result | None]:
    """Runs in a worker process: how long validation takes depends on the tenant's schema, as with `uniqueItems`."""
    filled = fill_form(form, body.answers)
    problems = [each.model_copy(update={"pointer": "/answers" + each.pointer}) for each in filled.problems]
    if problem := limits.shape_problem(body.notes, max_bytes=limits.ANSWERS_BYTES):
        problems.append(FieldProblem(pointer="/notes", problem=problem, cure="take it out"))
    if problems:
        raise Invalid("invalid-answers", "Some answers do not hold; `errors` says which and why.", errors=problems)
    return filled, score_submission(form, filled.answers, filled.shown)


async def _save_version(
    session: Session,
    documents: DocumentStore,
    form: FormDefinition,
    submission: Submission,
    filled: FilledForm,
    result: Result | None,
    *,
    notes: str,
    by: UUID,
) -> Submission:
    """Stores content and score as the version that `submission` names, and publishes it. Its `document`, `changed_at`,
    `score` and `automatic_fail` are replaced."""
    content: SubmissionContent = {
        "answers": filled.answers,
        "notes": notes,
        "result": None if result is None else result.model_dump(mode="json"),
    }
    document = new_id()
    await store.put_content(documents, session.tenant, store.SUBMISSIONS, document, content)
    score = None if result is None else result.score
    saved = replace(
        submission,
        document=document,
        changed_at=session.now,
        score=score,
        automatic_fail=result is not None and result.automatic_fail,
    )
    await store.upsert_submission(session, saved, by=by)
    if score is None:
        session.emit(SubmissionSubmitted(**_event_fields(form, saved)))
    else:
        session.emit(_build_scored_event(form, saved, score, filled, result))
    return saved


def _event_fields(form: FormDefinition, submission: Submission) -> dict[str, Any]:
    return {
        # A form about nobody counts for its submitter: the event's key is a person.
        "agent_id": submission.agent_id or submission.submitted_by,
        "submission_id": submission.id,
        "form": form.form,
        "title": form.title,
        "form_version": submission.form_version,
        "version": submission.version,
        "void": submission.void,
        "submitted_by": submission.submitted_by,
        "submitted_at": submission.submitted_at,
        "interaction_id": submission.interaction_id,
        "leg": submission.leg,
    }


def _build_scored_event(
    form: FormDefinition, submission: Submission, score: int, filled: FilledForm | None, result: Result | None
) -> SubmissionScored:
    return SubmissionScored(
        **_event_fields(form, submission),
        workday=submission.workday,
        score=score,
        automatic_fail=result is not None and result.automatic_fail,
        sections={each.section: each.score for each in result.sections if each.score is not None} if result else {},
        answers=event_answers(form, filled.answers) if filled else {},
    )
