"""Assigns by hand, starts, completes, withdraws and marks overdue."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts import new_id
from contracts.assignments import (
    AssignmentAssigned,
    AssignmentCompleted,
    AssignmentOverdue,
    AssignmentStarted,
    AssignmentWithdrawn,
)
from servicekit.errors import Conflict, NotFound
from storage import DocumentStore, Session

from training.actions.follow_ups import apply_follow_up_rules
from training.actions.rule_assignments import event_fields
from training.actions.templates import load_content, require_head, require_version
from training.model.assignment import BY_HAND, AssignmentRow
from training.model.content import Answers, score_attempt
from training.model.rules import DONE_STATUSES, OPEN_STATUSES
from training.store import assignments as store


async def require_assignment(session: Session, assignment_id: UUID, *, lock: bool = False) -> AssignmentRow:
    """The assignment of this id; with `lock` its row is locked. Raises NotFound."""
    row = await store.find_assignment(session, assignment_id, lock=lock)
    if row is None:
        raise NotFound("unknown-assignment", f"There is no assignment {assignment_id}.")
    return row


async def assign_by_hand(
    session: Session, *, agent_id: UUID, template: str, due_at: datetime | None, by: UUID
) -> AssignmentRow:
    """Assigns a training without a rule. Raises NotFound for an unknown template, Conflict when it is not published or is
    open for this person already."""
    head = await require_head(session, template)
    if head.version is None or head.archived:
        raise Conflict("template-not-published", f"Template `{template}` has no published version.")
    await store.lock_agent(session, agent_id)
    earlier = (await store.load_earlier(session, [agent_id]))[agent_id]
    if any(each.template == template and each.status in OPEN_STATUSES for each in earlier.values()):
        raise Conflict("already-open", f"`{template}` is assigned to this person and not completed yet.")
    assignment_id = new_id()
    new = AssignmentRow(
        id=assignment_id,
        agent_id=agent_id,
        template=template,
        template_version=head.version,
        title=head.title,
        assigned_by=by,
        assigned_at=session.now,
        due_at=due_at,
    )
    await store.insert_assignments(session, [new])
    row = await require_assignment(session, assignment_id)
    session.emit(AssignmentAssigned(**event_fields(row)))
    if due_at is not None:
        await session.schedule("overdue", str(assignment_id), due_at)
    return row


async def start(session: Session, assignment_id: UUID) -> AssignmentRow:
    """Starts an assignment and fixes it to the template's newest version. A second start changes nothing.

    Raises Conflict when it has been withdrawn.
    """
    row = await require_assignment(session, assignment_id, lock=True)
    _refuse_withdrawn(row)
    if row.status != "assigned":
        return row
    head = await require_head(session, row.template)
    await store.update_assignment(
        session, assignment_id, status="started", started_at=session.now, template_version=head.version
    )
    row = await require_assignment(session, assignment_id)
    session.emit(AssignmentStarted(**event_fields(row)))
    return row


async def complete(session: Session, documents: DocumentStore, assignment_id: UUID, answers: Answers) -> AssignmentRow:
    """Completes a reading or a task, or scores an attempt at a quiz: passing completes it, failing the last attempt fails
    it. An assignment that is completed or failed already stays as it is, and no attempt is counted.

    Raises Conflict when it is withdrawn or not started, Invalid for answers the quiz does not know.
    """
    await store.lock_agent(session, (await require_assignment(session, assignment_id)).agent_id)
    row = await require_assignment(session, assignment_id, lock=True)
    _refuse_withdrawn(row)
    if row.status in DONE_STATUSES:
        return row
    if row.status == "assigned":
        raise Conflict("not-started", "Start the assignment first.")
    version = await require_version(session, row.template, row.template_version)
    content = await load_content(documents, session.tenant, version.document)
    if content.quiz is None:
        changes: dict[str, Any] = {"status": "completed", "passed": True}
    else:
        result = score_attempt(content.quiz, answers)
        number = row.attempts + 1
        changes = {"attempts": number, "score_percent": result.percent, "passed": result.passed}
        await store.insert_attempt(
            session,
            assignment_id,
            number=number,
            answers={name: sorted(set(chosen)) for name, chosen in answers.items()},
            score_percent=result.percent,
            passed=result.passed,
        )
        if result.passed:
            changes["status"] = "completed"
        elif content.quiz.max_attempts is not None and number >= content.quiz.max_attempts:
            changes["status"] = "failed"
    if "status" in changes:
        changes["completed_at"] = session.now
    await store.update_assignment(session, assignment_id, **changes)
    row = replace(row, **changes, version=row.version + 1)
    if row.status in DONE_STATUSES:
        session.emit(AssignmentCompleted(score_percent=row.score_percent, passed=bool(row.passed), **event_fields(row)))
    if row.status == "failed":
        await apply_follow_up_rules(session, row, "failed")
    return row


async def withdraw_by_hand(session: Session, assignment_id: UUID) -> None:
    """Withdraws an open assignment; one withdrawn already stays as it is. Raises Conflict when it is completed or failed."""
    row = await require_assignment(session, assignment_id, lock=True)
    if row.status in DONE_STATUSES:
        raise Conflict("assignment-over", f"This assignment is {row.status}: it is part of the record, and stays.")
    if row.status not in OPEN_STATUSES:
        return
    # With `corrected`, a later correction of the band does not assign it again.
    reason = "it was taken back by hand"
    await store.update_assignment(
        session,
        assignment_id,
        status="withdrawn",
        withdrawn_at=session.now,
        withdrawn_reason=reason,
        withdrawn_code=BY_HAND,
        withdrawn_values={},
        corrected=True,
    )
    session.emit(
        AssignmentWithdrawn(reason=reason, reason_code=BY_HAND, **event_fields(replace(row, version=row.version + 1)))
    )


async def mark_overdue(session: Session, assignment_id: UUID) -> bool:
    """Marks an assignment that is open and past its due date, once. Returns whether it did."""
    found = await store.find_assignment(session, assignment_id)
    if found is not None:
        await store.lock_agent(session, found.agent_id)
    row = await store.find_assignment(session, assignment_id, lock=True)
    if row is None or row.status not in OPEN_STATUSES or row.overdue_at is not None:
        return False
    if row.due_at is None or row.due_at > session.now:
        return False
    await store.update_assignment(session, assignment_id, overdue_at=session.now)
    session.emit(AssignmentOverdue(**event_fields(replace(row, version=row.version + 1))))
    await apply_follow_up_rules(session, row, "overdue")
    return True


def _refuse_withdrawn(row: AssignmentRow) -> None:
    if row.status == "withdrawn":
        raise Conflict("withdrawn", f"This assignment was withdrawn: {row.withdrawn_reason}.")
