"""Topic `submissions`: what forms says of form definitions and of what people submitted."""

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
    """A version of a form can be filled in from now on; it never changes again."""

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
        return f"{tenant}|{self.form}"


class _SubmissionEvent(AgentEvent):
    """`agent_id` is the person the form is about; `interaction_id` the call that it judges, and `leg` which leg of it,
    where one is named."""

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
    """A submission of a form that is not scored."""

    type: ClassVar[str] = "submission.submitted"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class SubmissionScored(_SubmissionEvent):
    """`score` in hundredths of a percent, 0..10000; `answers` only what KPIs may use: numbers and choices by question
    id. kpi-engine makes it a fact of source `submissions`: of the agent and on the workday of the call that it judges, once
    that is known; without a call, of `agent_id` on `workday`, the day of judging."""

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
