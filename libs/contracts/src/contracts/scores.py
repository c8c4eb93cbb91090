"""Topics `scores` and `bands`: kpi-engine publishes agents' values and bands."""

from datetime import date
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.envelope import AgentEvent, Mode, ReasonCode, ReasonValues, known
from contracts.windows import WindowName

_AGENT = "0197c0de-0000-7000-8000-000000000001"
_WORDS: dict[str, Any] = {
    "kpi_title": {"en": "% Silence", "zh": "静默占比"}, "band_title": {"en": "Coaching", "zh": "辅导"},
    "unit": "percent", "value": "65.3846",
}  # fmt: skip
_WATCH = {"en": "Watch", "zh": "关注"}


KpiUnit = Annotated[str, known("percent", "ratio", "count", "ms", "seconds", "minutes", "hours", "score")]


class Score(BaseModel):
    """A KPI's value of one agent on one workday. `value` is a decimal in the KPI's unit; it is None where it cannot be
    computed, and `reason` says why. `sample` is how many facts it rests on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    value: str | None
    numerator: str | None = None
    denominator: str | None = None
    sample: int
    reason: str | None = None
    model_version: int
    direction: Literal["higher_is_better", "lower_is_better", "target_area"] = "lower_is_better"


class ScoreChanged(AgentEvent):
    """An agent's values of one workday changed. There is at most one event for each agent and workday in a batch, with all
    KPIs that changed. For each KPI the event with the highest `version` holds. `version` is 0 in events from before there
    were versions."""

    type: ClassVar[str] = "score.changed"
    topic: ClassVar[str] = "scores"
    example: ClassVar[dict[str, Any]] = {
        "agent_id": _AGENT, "workday": "2026-03-02", "mode": "live", "version": 41,
        "scores": {"silence_pct": {"value": "65.3846", "numerator": "17000000", "denominator": "260000", "sample": 25,
                                   "reason": None, "model_version": 1, "direction": "lower_is_better"}},
    }  # fmt: skip

    workday: date
    mode: Mode = "live"
    version: int = 0
    scores: dict[str, Score]


class Window(BaseModel):
    """One window of the evidence: its value, and the band that the value fell into. `band` is None where the sample is too
    small."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    window: WindowName
    value: str | None
    sample: int
    band: str | None


class _BandEvent(AgentEvent):
    """`band_event_id` identifies the stay in the band. The same stay always has the same id; a stay that a correction took
    away and that comes back has a new one. `rank` counts the bands from the best, 0, to the worst.

    `version` rises with each event of an agent and KPI: of two events about a stay the one with the higher version holds.
    It is 0 in events from before there were versions.

    Titles by language, and `value`, a decimal in `unit`, are for messages to people. It is the value of the last window
    that counted.
    """

    topic: ClassVar[str] = "bands"

    band_event_id: UUID
    kpi: str
    model_version: int
    band: str
    rank: int
    at_window: WindowName
    mode: Mode = "live"
    version: int = 0
    evidence: list[Window] = []
    kpi_title: dict[str, str] = {}
    band_title: dict[str, str] = {}
    unit: KpiUnit | None = None
    value: str | None = None


class BandEntered(_BandEvent):
    """The agent is now in `band`. `from_band` is the band before, None where there was none."""

    type: ClassVar[str] = "band.entered"
    example: ClassVar[dict[str, Any]] = {
        "agent_id": _AGENT, "band_event_id": "0197c0de-0000-7000-8000-000000000300", "kpi": "silence_pct",
        "model_version": 1, "band": "coach", "rank": 2, "at_window": "2026-03-04", "mode": "live", "version": 42, "from_band": "watch",
        "from_rank": 1,
        "evidence": [{"window": "2026-03-02", "value": "65.3846", "sample": 25, "band": "coach"}],
        **_WORDS, "from_band_title": _WATCH,
    }  # fmt: skip

    from_band: str | None = None
    from_rank: int | None = None
    from_band_title: dict[str, str] = {}


class BandStayed(_BandEvent):
    """The agent is still in `band`. `evidence` holds the windows since the band was entered that have a value and did not end
    the stay `band_event_id`. `withdrawn` names windows of earlier events that no longer have a value. A change of a
    stay's windows makes at most one event. For each window the event with the highest `version` holds."""

    type: ClassVar[str] = "band.stayed"
    example: ClassVar[dict[str, Any]] = {
        "agent_id": _AGENT, "band_event_id": "0197c0de-0000-7000-8000-000000000300", "kpi": "silence_pct",
        "model_version": 1, "band": "coach", "rank": 2, "at_window": "2026-03-05", "mode": "live", "version": 43,
        "evidence": [{"window": "2026-03-05", "value": "65.3846", "sample": 22, "band": "coach"}], **_WORDS,
        "withdrawn": [],
    }  # fmt: skip

    withdrawn: list[WindowName] = []


class BandLeft(_BandEvent):
    """The stay `band_event_id` ended with window `at_window`. The agent is now in `to_band`."""

    type: ClassVar[str] = "band.left"
    example: ClassVar[dict[str, Any]] = {
        "agent_id": _AGENT, "band_event_id": "0197c0de-0000-7000-8000-000000000300", "kpi": "silence_pct",
        "model_version": 1, "band": "coach", "rank": 2, "at_window": "2026-03-18", "mode": "live", "version": 57, "to_band": "watch",
        "to_rank": 1, "evidence": [], **_WORDS, "value": "58.1", "to_band_title": _WATCH,
    }  # fmt: skip

    to_band: str | None = None
    to_rank: int | None = None
    to_band_title: dict[str, str] = {}


class BandCorrected(_BandEvent):
    """An earlier event about the stay `band_event_id` no longer holds. `retracts` is `entered` where the whole stay is taken
    back, `left` where only its end is. `reason` is text for logs. Messages to people are made from `reason_code` and
    `reason_values`, in each person's language."""

    type: ClassVar[str] = "band.corrected"
    example: ClassVar[dict[str, Any]] = {
        "agent_id": _AGENT, "band_event_id": "0197c0de-0000-7000-8000-000000000300", "kpi": "silence_pct",
        "model_version": 1, "band": "coach", "rank": 2, "at_window": "2026-03-04", "mode": "live", "version": 63,
        "retracts": "entered", "reason": "a correction: 2026-03-04 now reads 58.1 (watch)", "evidence": [], **_WORDS,
        "value": "58.1", "reason_code": "corrected_call",
        "reason_values": {"window": "2026-03-04", "value": "58.1", "unit": "percent", "band_title": _WATCH},
    }  # fmt: skip

    retracts: Literal["entered", "left"]
    reason: str = ""
    reason_code: ReasonCode = ""
    reason_values: ReasonValues = {}
