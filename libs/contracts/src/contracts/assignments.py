"""Topic `assignments`: what training says of people's assignments."""

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from contracts.envelope import AgentEvent, ReasonCode, ReasonValues, known

Trigger = Annotated[str, known("entered", "stayed", "failed", "overdue")]
_EXAMPLE: dict[str, Any] = {
    "agent_id": "0197c0de-0000-7000-8000-000000000001", "assignment_id": "0197c0de-0000-7000-8000-000000000400",
    "template": "silence-basics", "template_version": 1, "title": {"en": "Fewer silences", "zh": "减少静默"},
    "rule": "silence-coach", "kpi": "silence_pct", "band": "coach",
    "band_event_id": "0197c0de-0000-7000-8000-000000000300", "due_at": "2026-03-11T16:00:00Z", "version": 1,
    "trigger": "entered", "follows": None, "rule_title": {"en": "Reading for the coaching band", "zh": "辅导区间的阅读材料"},
    "kpi_title": {"en": "% Silence", "zh": "静默占比"}, "band_title": {"en": "Coaching", "zh": "辅导"},
}  # fmt: skip


class _AssignmentEvent(AgentEvent):
    """`rule`, `kpi`, `band`, `band_event_id` are None on an assignment made by hand. `version` rises with every change of
    the assignment; 0 in events from before there were versions. Titles are by language.
    `trigger`: what made the rule give it (entered, stayed, failed, overdue); `follows`: the assignment that was failed
    or overdue."""

    topic: ClassVar[str] = "assignments"

    assignment_id: UUID
    template: str
    template_version: int
    title: dict[str, str]
    rule: str | None = None
    kpi: str | None = None
    band: str | None = None
    band_event_id: UUID | None = None
    due_at: datetime | None = None
    version: int = 0
    trigger: Trigger | None = None
    follows: UUID | None = None
    rule_title: dict[str, str] = {}
    kpi_title: dict[str, str] = {}
    band_title: dict[str, str] = {}


class AssignmentAssigned(_AssignmentEvent):
    """A person has been given a training, by a rule or by hand."""

    type: ClassVar[str] = "assignment.assigned"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class AssignmentStarted(_AssignmentEvent):
    """The person opened it; from here on the training is not withdrawn."""

    type: ClassVar[str] = "assignment.started"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class AssignmentCompleted(_AssignmentEvent):
    """`score_percent` is the quiz's result, None for a reading; `passed` is what counts."""

    type: ClassVar[str] = "assignment.completed"
    example: ClassVar[dict[str, Any]] = {**_EXAMPLE, "score_percent": 80, "passed": True}

    score_percent: int | None = None
    passed: bool


class AssignmentOverdue(_AssignmentEvent):
    """It was not completed by its due date."""

    type: ClassVar[str] = "assignment.overdue"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class AssignmentWithdrawn(_AssignmentEvent):
    """What it was assigned for no longer holds, and it had not been started; or somebody took it back by hand. `reason` is
    for logs; people are told `reason_code` and `reason_values`, in their own language."""

    type: ClassVar[str] = "assignment.withdrawn"
    example: ClassVar[dict[str, Any]] = {
        **_EXAMPLE, "reason": "the band was left before the training was started", "reason_code": "band_left",
    }  # fmt: skip

    reason: str = ""
    reason_code: ReasonCode = ""
    reason_values: ReasonValues = {}
