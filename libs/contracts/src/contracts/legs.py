"""Topics `legs`, `legs.history`, `agent-states`: ingest publishes calls and agents' states."""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from contracts.envelope import AgentEvent, Event, Mode, known

Channel = Annotated[str, known("voice", "chat", "task", "email", "sms", "social", "video", "other")]
Direction = Annotated[str, known("inbound", "outbound", "internal")]


class LegRecorded(Event):
    """A new version of one agent's leg of an interaction. Unknown is None, never 0. Durations are in milliseconds.

    `gaps` are the silent stretches [begin_ms, end_ms) from the start of the conversation, where the vendor reports them.
    Scores are integers in hundredths of the vendor's own scale: csat and nps of 1.00-10.00, qa_score of 0.00-100.00 %,
    sentiment of -5.00-5.00.

    `relation` is how the leg came from the one before: `transfer` (the customer was handed on), `consult` (the agent asked
    somebody and went on with the customer) or `conference` (the same, and all of them spoke). It is null for a call's first
    leg, and where the vendor does not report it.

    `held` is `unknown_agent` where the directory does not know yet who took the leg. Such a leg has no `agent_id`. It
    counts where no agent is needed: by queue, for the site of the tenant, in total. Values by agent leave it out and say
    how many legs they left out. A later version names the agent, with `held` null.
    """

    type: ClassVar[str] = "leg.recorded"
    topic: ClassVar[str] = "legs"
    example: ClassVar[dict[str, Any]] = {
        "interaction_id": "0197c0de-0000-7000-8000-000000000100", "leg": 1, "version": 1, "void": False, "mode": "live",
        "source": "amazon-connect", "vendor": "amazon-connect", "external_id": "c-1",
        "agent_id": "0197c0de-0000-7000-8000-000000000001", "agent_external_id": "agent-ada",
        "channel": "voice", "direction": "inbound", "queue": "Billing", "reason": None, "attributes": {"language": "en"},
        "first_leg": True, "last_leg": True, "started_at": "2026-03-02T08:00:00Z", "ended_at": "2026-03-02T08:05:00Z",
        "workday": "2026-03-02", "ring_ms": 4000, "queue_ms": 12000, "talk_ms": 240000, "hold_ms": 20000,
        "acw_ms": 30000, "handle_ms": 290000, "conversation_ms": 260000, "silence_vendor_ms": 170000,
        "overtalk_ms": 0, "gaps": [[1000, 90000], [100000, 181000]], "interruptions": 0, "transfers": 0,
        "answered": True, "abandoned": False, "transferred": False, "csat": None, "nps": None, "qa_score": None,
        "sentiment": 120, "customer_key": "9f86d081884c7d65", "relation": None, "held": None,
    }  # fmt: skip

    interaction_id: UUID
    leg: int
    version: int
    void: bool = False
    mode: Mode = "live"
    source: str
    vendor: str
    external_id: str
    agent_id: UUID | None = None
    agent_external_id: str | None = None
    channel: Channel
    direction: Direction | None = None
    queue: str | None = None
    reason: str | None = None
    attributes: dict[str, str] = {}
    first_leg: bool = True
    last_leg: bool = True
    started_at: datetime
    ended_at: datetime | None = None
    workday: date
    ring_ms: int | None = None
    queue_ms: int | None = None
    talk_ms: int | None = None
    hold_ms: int | None = None
    acw_ms: int | None = None
    handle_ms: int | None = None
    conversation_ms: int | None = None
    silence_vendor_ms: int | None = None
    overtalk_ms: int | None = None
    gaps: list[tuple[int, int]] | None = None
    interruptions: int | None = None
    transfers: int | None = None
    answered: bool | None = None
    abandoned: bool | None = None
    transferred: bool | None = None
    csat: int | None = None
    nps: int | None = None
    qa_score: int | None = None
    sentiment: int | None = None
    customer_key: str | None = None
    relation: Annotated[str, known("transfer", "consult", "conference")] | None = None
    held: Annotated[str, known("unknown_agent")] | None = None

    def target_topic(self) -> str:
        """Legs of `history` have a topic of their own, so that they do not delay live ones."""
        return "legs.history" if self.mode == "history" else "legs"

    def key(self, tenant: str) -> str:
        """`<tenant>|<agent_id>`, or the interaction's id where there is no agent."""
        return f"{tenant}|{self.agent_id or self.interaction_id}"


class AgentStateChanged(AgentEvent):
    """One stretch of an agent's state within one workday of the agent. A state that lasts longer is published as one stretch
    for each workday. A higher `version` of the same `state_id` replaces a lower one. While the state lasts, `ended_at`
    and `duration_ms` are null."""

    type: ClassVar[str] = "agent_state.changed"
    topic: ClassVar[str] = "agent-states"
    example: ClassVar[dict[str, Any]] = {
        "agent_id": "0197c0de-0000-7000-8000-000000000001", "state_id": "0197c0de-0000-7000-8000-000000000200",
        "version": 1, "void": False, "mode": "live", "source": "amazon-connect", "state": "Available",
        "started_at": "2026-03-02T08:00:00Z", "ended_at": "2026-03-02T08:30:00Z", "workday": "2026-03-02",
        "duration_ms": 1800000,
    }  # fmt: skip

    state_id: UUID
    version: int
    void: bool = False
    mode: Mode = "live"
    source: str
    state: str
    started_at: datetime
    ended_at: datetime | None = None
    workday: date
    duration_ms: int | None = None
