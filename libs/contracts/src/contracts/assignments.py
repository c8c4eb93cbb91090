"""Topic `assignments`: training publishes every change of a person's assignment."""

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
    """`rule`, `kpi`, `band` and `band_event_id` are None on an assignment made by hand. Titles are by language.

    `version` rises with every change of the assignment. It is 0 in events from before there were versions.

    `trigger` is what made the rule assign the training: the band was entered or stayed in, or an earlier assignment was
    failed or overdue. `follows` is that earlier assignment.
    """

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
    """A training was assigned to a person, by a rule or by hand."""

    type: ClassVar[str] = "assignment.assigned"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class AssignmentStarted(_AssignmentEvent):
    """The person opened the training. From now on it is not withdrawn."""

    type: ClassVar[str] = "assignment.started"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class AssignmentCompleted(_AssignmentEvent):
    """The person finished the training. `score_percent` is the result of its quiz, 0..100, and None for a reading. `passed`
    says whether the training counts as done."""

    type: ClassVar[str] = "assignment.completed"
    example: ClassVar[dict[str, Any]] = {**_EXAMPLE, "score_percent": 80, "passed": True}

    score_percent: int | None = None
    passed: bool


class AssignmentOverdue(_AssignmentEvent):
    """The training was not completed by `due_at`."""

    type: ClassVar[str] = "assignment.overdue"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class AssignmentWithdrawn(_AssignmentEvent):
    """The assignment is taken back: its cause no longer holds and the person had not started it, or somebody withdrew it
    by hand. `reason` is text for logs. Messages to people are made from `reason_code` and `reason_values`, in each
    person's language."""

    type: ClassVar[str] = "assignment.withdrawn"
    example: ClassVar[dict[str, Any]] = {
        **_EXAMPLE, "reason": "the band was left before the training was started", "reason_code": "band_left",
    }  # fmt: skip

    reason: str = ""
    reason_code: ReasonCode = ""
    reason_values: ReasonValues = {}
