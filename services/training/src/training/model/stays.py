"""What is said of a stay in a band, event by event."""

from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed, Window
from contracts.windows import window_days

from training.model.effect import window_end_day

BandEvent = BandEntered | BandStayed | BandLeft | BandCorrected
WindowReport = list[int | str | None]
"""Of a window: the version with which it was told, then value, sample and band; only the version: it says nothing."""


@dataclass
class BandStay:
    """A stay as it was told; `heard`: the ids of the events that told it, `version`: the newest of theirs. `windows`:
    those in which it goes on, each with a version of its own, so that it matters not in which order they are heard."""

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
    windows: dict[str, WindowReport] = field(default_factory=dict[str, WindowReport])

    @classmethod
    def from_event(cls, body: BandEvent) -> "BandStay":
        return cls(body.band_event_id, body.agent_id, body.kpi, body.band, body.model_version)

    def is_ahead_of(self, body: BandEvent) -> bool:
        """Whether something newer was heard of this stay: then nothing follows from the event any more."""
        return 0 < body.version < self.version

    def apply(self, event_id: UUID, body: BandEvent, today: date) -> bool:
        """False when the event was heard before, so that one that comes again has no second effect, even after later
        ones."""
        if isinstance(body, BandStayed):
            return self._apply_windows(body)
        if event_id in self.heard:
            return False
        self.heard.append(event_id)
        if isinstance(body, BandEntered):
            self.entered_on = window_end_day(body.at_window, today)
        if self.is_ahead_of(body):
            return True
        self.version = max(self.version, body.version)
        match body:
            case BandEntered():
                pass
            case BandLeft():
                self.left_on = window_end_day(body.at_window, today)
            case BandCorrected(retracts="entered"):
                self.retracted = True
            case BandCorrected():
                self.left_on = None
        return True

    def _apply_windows(self, body: BandStayed) -> bool:
        told: dict[str, WindowReport] = {
            each.window: [body.version, each.value, each.sample, each.band] for each in body.evidence
        }
        told |= {window: [body.version] for window in body.withdrawn}
        news = {
            window: said
            for window, said in told.items()
            if window not in self.windows or _version(self.windows[window]) < body.version
        }
        self.windows = {**self.windows, **news}
        return bool(news)

    @property
    def is_ongoing(self) -> bool:
        return not self.retracted and self.entered_on is not None and self.left_on is None

    def windows_after(self, day: date | None) -> list[Window]:
        """Those in which the stay went on that began after the day (None: all), oldest first."""
        found: list[Window] = []
        for window, (_, *said) in sorted(self.windows.items()):
            days = window_days(window)
            if said and (day is None or days is None or days[0] > day):
                value, sample, band = said
                found.append(Window.model_validate({"window": window, "value": value, "sample": sample, "band": band}))
        return found


def _version(heard: WindowReport) -> int:
    version = heard[0]
    assert isinstance(version, int)
    return version
