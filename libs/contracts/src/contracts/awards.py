"""Topic `awards`: what gamification says of points."""

from typing import Any, ClassVar
from uuid import UUID

from contracts.envelope import AgentEvent, ReasonCode, ReasonValues

_EXAMPLE: dict[str, Any] = {
    "agent_id": "0197c0de-0000-7000-8000-000000000001", "entry_id": "0197c0de-0000-7000-8000-000000000500",
    "rule": "left-coach", "points": 100, "title": {"en": "Left the coaching band", "zh": "离开辅导区间"},
    "cause": "0197c0de-0000-7000-8000-000000000300", "balance": 340,
}  # fmt: skip


class _LedgerEvent(AgentEvent):
    """`points` is what the entry adds (negative on a reversal); `cause` names what it was given for."""

    topic: ClassVar[str] = "awards"

    entry_id: UUID
    rule: str
    points: int
    title: dict[str, str]
    cause: str
    balance: int


class PointsGranted(_LedgerEvent):
    """A rule gave points for a cause, once."""

    type: ClassVar[str] = "points.granted"
    example: ClassVar[dict[str, Any]] = _EXAMPLE


class PointsReversed(_LedgerEvent):
    """The entry `reverses` is taken back, because what it was given for no longer holds. `reason` is for logs; people are
    told `reason_code` and `reason_values`, in their own language."""

    type: ClassVar[str] = "points.reversed"
    example: ClassVar[dict[str, Any]] = {
        **_EXAMPLE, "points": -100, "reverses": "0197c0de-0000-7000-8000-000000000500",
        "reason": "the band was corrected", "reason_code": "band_corrected",
    }  # fmt: skip

    reverses: UUID
    reason: str = ""
    reason_code: ReasonCode = ""
    reason_values: ReasonValues = {}
