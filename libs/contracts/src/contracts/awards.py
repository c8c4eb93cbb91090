"""Topic `awards`: gamification publishes each entry of a person's ledger of points."""

from typing import Any, ClassVar
from uuid import UUID

from contracts.envelope import AgentEvent, ReasonCode, ReasonValues

_EXAMPLE: dict[str, Any] = {
    "agent_id": "0197c0de-0000-7000-8000-000000000001", "entry_id": "0197c0de-0000-7000-8000-000000000500",
    "rule": "left-coach", "points": 100, "title": {"en": "Left the coaching band", "zh": "离开辅导区间"},
    "cause": "0197c0de-0000-7000-8000-000000000300", "balance": 340,
}  # fmt: skip


class _LedgerEvent(AgentEvent):
    """`points` is what the entry adds to the ledger, negative on a reversal. `balance` is the person's sum of points
    after the entry. `cause` identifies what the points were given for."""

    topic: ClassVar[str] = "awards"

    entry_id: UUID
    rule: str
    points: int
    title: dict[str, str]
    cause: str
    balance: int


class PointsGranted(_LedgerEvent):
    """A rule gave points for a cause. It does so at most once for each cause."""

    type: ClassVar[str] = "points.granted"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class PointsReversed(_LedgerEvent):
    """The entry with the id `reverses` is taken back, because its cause no longer holds. `reason` is text for logs. Messages
    to people are made from `reason_code` and `reason_values`, in each person's language."""

    type: ClassVar[str] = "points.reversed"
    example: ClassVar[dict[str, Any]] = {
        **_EXAMPLE, "points": -100, "reverses": "0197c0de-0000-7000-8000-000000000500",
        "reason": "the band was corrected", "reason_code": "band_corrected",
    }  # fmt: skip

    reverses: UUID
    reason: str = ""
    reason_code: ReasonCode = ""
    reason_values: ReasonValues = {}
