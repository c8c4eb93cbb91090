"""What is said of a stay in a band, event by event."""

from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from contracts.scores import BandCorrected, BandEntered, BandLeft

from training.model.effect import window_day

BandEvent = BandEntered | BandLeft | BandCorrected


@dataclass
class HeardStay:
    """A stay as it was told; `heard`: the ids of the events that told it, `version`: the newest of theirs."""

    band_event_id: UUID
    agent_id: UUID
    kpi: str
    band: str
    model_version: int
    entered_on: date | None = None
    left_on: date | None = None
    retracted: bool = False
    heard: list[UUID] = field(default_factory=list[UUID])
    version: int = 0

    @classmethod
    def of(cls, body: BandEvent) -> "HeardStay":
        return cls(body.band_event_id, body.agent_id, body.kpi, body.band, body.model_version)

    def is_ahead_of(self, body: BandEvent) -> bool:
        """Whether something newer was heard of this stay: then nothing follows from the event any more."""
        return 0 < body.version < self.version

    def hear(self, event_id: UUID, body: BandEvent, today: date) -> bool:
        """False when the event was heard before, so that one that comes again has no second effect, even after later
        ones."""
        if event_id in self.heard:
            return False
        self.heard.append(event_id)
        if isinstance(body, BandEntered):
            self.entered_on = window_day(body.at_window, today)
        if self.is_ahead_of(body):
            return True
        self.version = max(self.version, body.version)
        match body:
            case BandEntered():
                pass
            case BandLeft():
                self.left_on = window_day(body.at_window, today)
            case BandCorrected(retracts="entered"):
                self.retracted = True
            case BandCorrected():
                self.left_on = None
        return True
