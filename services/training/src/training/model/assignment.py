"""An assignment as a row, and the changes that a batch of events makes to it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Status = Literal["assigned", "started", "completed", "failed", "withdrawn"]
BY_HAND = "by_hand"
"""The `withdrawn_code` of a withdrawal by a person."""


@dataclass(kw_only=True)
class AssignmentRow:
    """A row of the table `assignment` without its tenant, with the title of its training (by language) and, where the
    store loads it, the training's kind and the person's slug and name.

    `occasion`: what the rule assigned it for; None when it was assigned by hand. `evidence`: the windows, titles and the
    rule as they were then. `corrected`: the withdrawal was a correction or was made by hand. It starts no cooldown, and
    undoing the leaving does not undo it.
    """

    id: UUID
    agent_id: UUID
    template: str
    template_version: int
    status: Status = "assigned"
    rule: str | None = None
    occasion: str | None = None
    band_event_id: UUID | None = None
    kpi: str | None = None
    band: str | None = None
    evidence: dict[str, Any] | None = None
    withdraw_when_left: bool = False
    due_days: int | None = None
    assigned_by: UUID | None = None
    assigned_at: datetime
    due_at: datetime | None = None
    overdue_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    withdrawn_at: datetime | None = None
    withdrawn_reason: str | None = None
    withdrawn_code: str | None = None
    withdrawn_values: dict[str, Any] | None = None
    corrected: bool = False
    attempts: int = 0
    score_percent: int | None = None
    passed: bool | None = None
    version: int = 1
    title: dict[str, str]
    kind: str | None = None
    agent: str | None = None
    name: str | None = None

    @property
    def is_withdrawn_by_hand(self) -> bool:
        """Whether somebody took the training back. No event of the band gives it again."""
        return self.status == "withdrawn" and self.withdrawn_code == BY_HAND

    def reinstate(self, due_at: datetime | None) -> None:
        """Undoes a withdrawal."""
        self.status = "assigned"
        self.withdrawn_at = self.withdrawn_reason = self.withdrawn_code = self.withdrawn_values = None
        self.overdue_at = None
        self.due_at = due_at
        self.corrected = False
        self.version += 1

    def withdraw(self, at: datetime, reason: str, code: str, values: dict[str, Any], *, corrected: bool) -> None:
        """Takes the training back. `reason` is for logs; `code` and `values` are what people read in their language."""
        self.status = "withdrawn"
        self.withdrawn_at = at
        self.withdrawn_reason, self.withdrawn_code, self.withdrawn_values = reason, code, values
        self.corrected = corrected
        self.version += 1


@dataclass(frozen=True, kw_only=True)
class SkippedRow:
    """A row of the table `skipped` without its tenant: a training that a rule did not assign, and why."""

    rule: str
    occasion: str
    band_event_id: UUID | None
    agent_id: UUID
    template: str
    reason: str
    detail: str
    at: datetime
