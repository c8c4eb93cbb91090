"""A stay in a band, built from its events in any order."""

from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed, Window
from contracts.windows import window_days

from training.model.effect import window_end_day

BandEvent = BandEntered | BandStayed | BandLeft | BandCorrected
WindowReport = list[int | str | None]
"""Of a window: the version of its event, then value, sample and band; the version alone when the window was withdrawn."""


@dataclass
class BandStay:
    """A row of the table `band_stay`. `heard`: the ids of its events that were applied; `version`: the newest of theirs.
    `windows`: those in which the stay went on, each with a version of its own, so that their events may come in any order.
    """

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
        """A stay of which nothing is known but its place. `apply` adds the event."""
        return cls(body.band_event_id, body.agent_id, body.kpi, body.band, body.model_version)

    def is_newer_than(self, body: BandEvent) -> bool:
        """Whether a newer event of this stay was applied already: then this one has no effect on assignments."""
        return 0 < body.version < self.version

    def apply(self, event_id: UUID, body: BandEvent, today: date) -> bool:
        """Updates the stay. Returns False, and changes nothing, when the event was applied before. `today`: the day of a
        window whose name holds none, which only older releases published."""
        if isinstance(body, BandStayed):
            return self._apply_windows(body)
        if event_id in self.heard:
            return False
        self.heard.append(event_id)
        if isinstance(body, BandEntered):
            self.entered_on = window_end_day(body.at_window, today)
        if self.is_newer_than(body):
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
        reports: dict[str, WindowReport] = {
            each.window: [body.version, each.value, each.sample, each.band] for each in body.evidence
        }
        reports |= {window: [body.version] for window in body.withdrawn}
        updates = {
            window: report
            for window, report in reports.items()
            if window not in self.windows or _version(self.windows[window]) < body.version
        }
        self.windows = {**self.windows, **updates}
        return bool(updates)

    @property
    def is_ongoing(self) -> bool:
        """Whether the stay was entered, not left and not retracted."""
        return not self.retracted and self.entered_on is not None and self.left_on is None

    def windows_after(self, day: date | None) -> list[Window]:
        """The windows in which the stay went on and that began after `day` (None: all), oldest first."""
        found: list[Window] = []
        for window, (_, *report) in sorted(self.windows.items()):
            days = window_days(window)
            if report and (day is None or days is None or days[0] > day):
                value, sample, band = report
                found.append(Window.model_validate({"window": window, "value": value, "sample": sample, "band": band}))
        return found


def _version(report: WindowReport) -> int:
    version = report[0]
    assert isinstance(version, int)
    return version
