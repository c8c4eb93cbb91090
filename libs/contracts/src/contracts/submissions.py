"""Topic `submissions`: forms publishes the versions of forms, and what people submitted."""

from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from contracts.envelope import AgentEvent, Event

_EXAMPLE: dict[str, Any] = {
    "agent_id": "0197c0de-0000-7000-8000-000000000001", "submission_id": "0197c0de-0000-7000-8000-000000000600",
    "form": "call-review", "form_version": 1, "title": {"en": "Call review", "zh": "通话质检"}, "version": 1, "void": False,
    "submitted_by": "0197c0de-0000-7000-8000-000000000002", "submitted_at": "2026-03-02T15:00:00Z",
    "interaction_id": "0197c0de-0000-7000-8000-000000000100",
}  # fmt: skip


class FormPublished(Event):
    """A version of a form was published. It can be filled in from now on and never changes."""

    type: ClassVar[str] = "form.published"
    topic: ClassVar[str] = "submissions"
    example: ClassVar[dict[str, Any]] = {
        "form": "call-review",
        "version": 1,
        "title": {"en": "Call review", "zh": "通话质检"},
    }

    form: str
    version: int
    title: dict[str, str]

    def key(self, tenant: str) -> str:
        """`<tenant>|<form>`: the versions of one form stay in order."""
        return f"{tenant}|{self.form}"


class _SubmissionEvent(AgentEvent):
    """`agent_id` is the person whom the form is about. `interaction_id` is the call that it judges, and `leg` the leg of that
    call, where the submission names them."""

    topic: ClassVar[str] = "submissions"

    submission_id: UUID
    form: str
    form_version: int
    title: dict[str, str]
    version: int = 1
    void: bool = False
    submitted_by: UUID | None = None
    submitted_at: datetime
    interaction_id: UUID | None = None
    leg: int | None = None


class SubmissionSubmitted(_SubmissionEvent):
    """Somebody submitted a form that is not scored."""

    type: ClassVar[str] = "submission.submitted"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class SubmissionScored(_SubmissionEvent):
    """Somebody submitted a form that is scored. `score` is in hundredths of a percent, 0..10000. `answers` holds what KPIs may
    use: numbers and choices by question id.

    kpi-engine stores it as a fact of source `submissions`. The fact has the agent and the workday of the call that the
    form judges, as soon as that call is known. Without a call it has `agent_id` and `workday`, the day of the judgement.
    """

    type: ClassVar[str] = "submission.scored"
    example: ClassVar[dict[str, Any]] = {
        **_EXAMPLE, "workday": "2026-03-02", "score": 8750, "automatic_fail": False, "sections": {"opening": 10000},
        "answers": {"greeting": "yes"},
    }  # fmt: skip

    workday: date
    score: int
    automatic_fail: bool = False
    sections: dict[str, int] = {}
    answers: dict[str, str] = {}
