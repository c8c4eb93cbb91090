"""Filling in forms: each submission is pinned to its form's version; a correction is a new version of it."""

import json
from typing import Any
from uuid import UUID

from contracts import new_id
from contracts.submissions import SubmissionScored, SubmissionSubmitted
from pydantic import BaseModel, ConfigDict, Field
from servicekit import Caller, directory, visibility
from servicekit.errors import Conflict, FieldProblem, Forbidden, Invalid, NotFound
from servicekit.workers import run_in_worker
from storage import DocumentStore, Session

from forms import store
from forms.actions.definitions import load_version
from forms.model import FilledForm, FormDefinition, Result, event_answers, fill_form, limits, score_submission

# Who may fill in a form of this kind about somebody else.
SUBMITTER_ROLES = {
    "evaluation": ("quality_analyst", "team_lead", "tenant_admin"),
    "note": ("quality_analyst", "team_lead", "tenant_admin", "trainer"),
    "quiz": ("quality_analyst", "team_lead", "tenant_admin", "trainer"),
    "survey": ("quality_analyst", "team_lead", "tenant_admin", "trainer", "integration"),
}


class Answers(BaseModel):
    """`answers` by question; null is no answer."""

    model_config = ConfigDict(extra="forbid")

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
) -> dict[str, Any]:
    """Keeps a submission, scores it, says so. Raises Invalid with a pointer for each answer that does not hold."""
    version, form = await load_version(session, documents, slug, body.version)
    if (head := await store.find_form(session, slug)) and head["retired"]:
        raise Conflict("form-retired", f"The form `{slug}` is retired: nobody fills it in any more.")
    agent_id = await _resolve_subject(session, caller, form, await _resolve_agent_id(session, body))
    if body.leg is not None and body.interaction_id is None:
        problem = FieldProblem(
            pointer="/leg", problem="a leg of no call", cure="name its `interaction_id`, or leave it out"
        )
        raise Invalid("leg-of-no-call", "`leg` needs `interaction_id`.", errors=[problem])
    filled, result = await run_in_worker(_validate_and_score, form, body)
    whose = agent_id or caller.person_id
    workdays = await directory.load_workdays(session, [whose])
    row = {
        "id": new_id(),
        "form": slug,
        "form_version": version,
        "version": 1,
        "agent_id": agent_id,
        "interaction_id": body.interaction_id,
        "leg": body.leg,
        "submitted_by": caller.person_id,
        "submitted_at": session.now,
        "workday": workdays.workday_of(whose, session.now),
        "void": False,
    }
    return await _save_version(session, documents, form, row, filled, result, notes=body.notes, by=caller.person_id)


async def correct(
    session: Session, documents: DocumentStore, caller: Caller, slug: str, id: UUID, body: Answers
) -> dict[str, Any]:
    """A new version of a submission, on the form version and the workday that it has. The same again: nothing."""
    row = await _lock_for_change(session, caller, slug, id)
    if row["void"]:
        raise Conflict("submission-void", "This submission was taken back. Submit a new one.")
    _, form = await load_version(session, documents, slug, row["form_version"])
    filled, result = await run_in_worker(_validate_and_score, form, body)
    before = await load_content(session, documents, row)
    if (before["answers"], before["notes"]) == (filled.answers, body.notes):
        return row
    changed = row | {"version": row["version"] + 1}
    if row["score"] is not None and (result is None or result.score is None):
        # What it scored no longer holds, and nothing takes its place.
        session.emit(_build_scored_event(form, changed | {"void": True}, row["score"], filled, None))
    return await _save_version(session, documents, form, changed, filled, result, notes=body.notes, by=caller.person_id)


async def void_submission(session: Session, documents: DocumentStore, caller: Caller, slug: str, id: UUID) -> None:
    """Voids a submission; doing it again changes nothing."""
    row = await _lock_for_change(session, caller, slug, id)
    if row["void"]:
        return
    changed = row | {"version": row["version"] + 1, "void": True, "changed_at": session.now}
    changed.pop("tenant")
    await store.save_submission(session, changed, by=caller.person_id)
    _, form = await load_version(session, documents, slug, row["form_version"])
    if row["score"] is not None:
        session.emit(_build_scored_event(form, changed, row["score"], None, None))
    else:
        session.emit(SubmissionSubmitted(**_event_fields(form, changed)))


async def load_content(session: Session, documents: DocumentStore, row: dict[str, Any]) -> dict[str, Any]:
    """`answers`, `notes`, and `result` (None on a form that is not scored)."""
    found = await store.load_contents(documents, session.tenant, store.SUBMISSIONS, [row["document"]])
    if row["document"] not in found:
        raise NotFound("submission-missing", f"The document {row['document']} is missing from the document store.")
    return json.loads(found[row["document"]])


async def find_visible(session: Session, caller: Caller, slug: str, id: UUID) -> dict[str, Any]:
    """A submission that the caller made, or that is about somebody whom the caller may see on its workday. Raises NotFound, also for
    one that is there but not for the caller's eyes."""
    row = await store.find_submission(session, slug, id)
    if row is not None and row["submitted_by"] != caller.person_id:
        visible = await visibility.load_visibility(session, caller)
        if not await visible.is_visible(session, row["agent_id"], row["workday"]):
            row = None
    if row is None:
        raise NotFound("unknown-submission", f"There is no submission {id} of `{slug}`.")
    return row


async def _lock_for_change(session: Session, caller: Caller, slug: str, id: UUID) -> dict[str, Any]:
    """The submission, locked. Raises Forbidden unless the caller is its author or an administrator."""
    await find_visible(session, caller, slug, id)
    row = await store.find_submission(session, slug, id, lock=True)
    head = await store.find_form(session, slug)
    assert row is not None
    assert head is not None
    own = row["submitted_by"] == caller.person_id and head["kind"] != "quiz"
    if not own and not await _administers(session, caller, row):
        raise Forbidden(
            "not-your-submission", "Its author or a tenant_admin may change a submission; a quiz only the latter."
        )
    return row


async def _administers(session: Session, caller: Caller, row: dict[str, Any]) -> bool:
    """Whether the caller is an administrator of whom the submission is about, on its day."""
    if not caller.has_role("tenant_admin"):
        return False
    visible = await visibility.load_visibility(session, caller.acting_as("tenant_admin"))
    return visible.everyone or await visible.is_visible(session, row["agent_id"], row["workday"])


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
    """Whom the submission is about. Raises Forbidden and Invalid."""
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
    """In a worker: how long a schema looks at answers is up to those who wrote it, as with `uniqueItems`."""
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
    row: dict[str, Any],
    filled: FilledForm,
    result: Result | None,
    *,
    notes: str,
    by: UUID,
) -> dict[str, Any]:
    content = {
        "answers": filled.answers,
        "notes": notes,
        "result": None if result is None else result.model_dump(mode="json"),
    }
    document = new_id()
    await store.put_content(documents, session.tenant, store.SUBMISSIONS, document, content)
    reached = None if result is None else result.score
    kept = {name: value for name, value in row.items() if name != "tenant"} | {
        "document": document,
        "changed_at": session.now,
        "score": reached,
        "automatic_fail": result is not None and result.automatic_fail,
    }
    await store.save_submission(session, kept, by=by)
    if reached is None:
        session.emit(SubmissionSubmitted(**_event_fields(form, kept)))
    else:
        session.emit(_build_scored_event(form, kept, reached, filled, result))
    return kept


def _event_fields(form: FormDefinition, row: dict[str, Any]) -> dict[str, Any]:
    return {
        # A form about nobody counts for the one who filled it in: the event's readers go by person.
        "agent_id": row["agent_id"] or row["submitted_by"],
        "submission_id": row["id"],
        "form": form.form,
        "title": form.title,
        **{
            name: row[name]
            for name in ("form_version", "version", "void", "submitted_by", "submitted_at", "interaction_id", "leg")
        },
    }


def _build_scored_event(
    form: FormDefinition, row: dict[str, Any], reached: int, filled: FilledForm | None, result: Result | None
) -> SubmissionScored:
    return SubmissionScored(
        **_event_fields(form, row),
        workday=row["workday"],
        score=reached,
        automatic_fail=result is not None and result.automatic_fail,
        sections={each.section: each.score for each in result.sections if each.score is not None} if result else {},
        answers=event_answers(form, filled.answers) if filled else {},
    )
