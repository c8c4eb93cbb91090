"""Bands: derived from the windows as they are now, and compared with the published stays.

An agent is in at most one band of a KPI. A band is entered at a window that lies in it, when `enter.x` of the last
`enter.of` windows do. It is left when `leave.x` of the last `leave.of` windows since then lie elsewhere. Windows with
too small a sample, or without a value, do not have enough data and are skipped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from contracts.windows import window_name

from kpi_engine.model.numbers import Exact
from kpi_engine.model.plan import Value
from kpi_engine.model.targets import Band, PersonAttributes, Target, select_target
from kpi_engine.model.titles import band_title


def monday_of(day: date) -> date:
    """The first day of its ISO week."""
    return day - timedelta(days=day.weekday())


@dataclass(frozen=True)
class BandRules:
    """A band is entered when `enter_x` of the last `enter_of` windows lie in it, left when `leave_x` of the last `leave_of` do not."""

    enter_x: int
    enter_of: int
    leave_x: int
    leave_of: int

    @property
    def lookback(self) -> int:
        """How many windows with enough data are needed before a window to decide on it."""
        return max(self.enter_of, self.leave_of) - 1


@dataclass(frozen=True)
class LastLegs:
    """A window at the end of each workday with legs: the newest `legs` of them, of any day."""

    legs: int


class Classification(NamedTuple):
    """Whether a window has a value from a large enough sample, and the band that it is in: None without enough data, and
    below the first band."""

    has_enough_data: bool
    band: str | None


NOT_ENOUGH_DATA = Classification(has_enough_data=False, band=None)


@dataclass(frozen=True)
class Bands:
    """The bands of a model. `edges` ascend; `targets` override them for some people."""

    window: "Literal['workday', 'week'] | LastLegs | str"
    rules: BandRules
    min_sample: int
    edges: tuple[Band, ...]
    targets: tuple[Target, ...] = ()

    @property
    def weekly(self) -> bool:
        """Whether a window is an ISO week."""
        return self.window == "week"

    def rank(self, name: str) -> int | None:
        """The rank of the band of this name, 0 the best; None when there is no such band."""
        return next((band.rank for band in self.edges if band.name == name), None)

    def title(self, name: str) -> dict[str, str]:
        """The title of the band of this name, by language."""
        return band_title(name, next((band.title for band in self.edges if band.name == name), None))

    def edges_for(self, person: PersonAttributes) -> tuple[tuple[Band, ...], Target | None]:
        """The edges that hold for a person on a day, and the target that set them."""
        target = select_target(self.targets, person) if self.targets else None
        return (target.edges if target else self.edges), target

    def classify(self, value: Value, person: PersonAttributes) -> Classification:
        """Whether a window of this value has enough data, and the band that it is in."""
        if value.value is None or value.sample < self.min_sample:
            return NOT_ENOUGH_DATA
        edges, _ = self.edges_for(person)
        return Classification(has_enough_data=True, band=find_band(value.value, edges))

    def evaluate_window(self, day: date, value: Value, person: PersonAttributes) -> "EvaluatedWindow":
        """The window of `day`, with its value and the band in which it lies for this person."""
        found = self.classify(value, person)
        return EvaluatedWindow(self.label(day), value.text, value.sample, found.band, found.has_enough_data)

    def label(self, day: date) -> str:
        """The window's name: the workday, or the ISO week. Names sort by time."""
        return window_name("week" if self.weekly else "workday", day, day)


@dataclass(frozen=True)
class EvaluatedWindow:
    """A window with its value, and its classification."""

    window: str
    value: str | None
    sample: int
    band: str | None
    has_enough_data: bool = True


@dataclass(frozen=True)
class Stay:
    """A stay in one band. `entered` and `left` are windows; `entry` and `exit` those that decided on entering and leaving;
    `stayed_windows` those between, in which the stay went on."""

    band: str
    entered: str
    left: str | None = None
    from_band: str | None = None
    to_band: str | None = None
    entry: tuple[EvaluatedWindow, ...] = ()
    exit: tuple[EvaluatedWindow, ...] = ()
    stayed_windows: tuple[EvaluatedWindow, ...] = field(default=(), compare=False)


def find_band(value: Exact, edges: Sequence[Band]) -> str | None:
    """The band whose half-open range holds `value`; None below the first one."""
    found = None
    for band in edges:
        if band.start is not None and value < band.start:
            break
        found = band.name
    return found


def derive_stays(
    rules: BandRules, windows: Iterable[EvaluatedWindow], *, begin: str = "", current: Stay | None = None
) -> list[Stay]:
    """The stays that end in or after the window `begin`, oldest first. `windows`: in order of time.

    Windows before `begin` are read only to decide on later ones; `rules.lookback` with enough data suffice. `current`: the
    stay that began before `begin` and has not ended before it.
    """
    windows_with_data: list[EvaluatedWindow] = []
    stayed: list[EvaluatedWindow] = []
    stays: list[Stay] = [current] if current else []
    since = 0
    for window in windows:
        if not window.has_enough_data:
            continue
        windows_with_data.append(window)
        if window.window < begin:
            if current and window.window <= current.entered:
                since = len(windows_with_data)
            continue
        left_stay = None
        if current:
            recent = windows_with_data[since:][-rules.leave_of :]
            elsewhere = 0 if window.band == current.band else sum(other.band != current.band for other in recent)
            if elsewhere < rules.leave_x:
                stayed.append(window)
                continue
            current = replace(current, stayed_windows=tuple(stayed))
            stays[-1] = left_stay = _end_stay(current, window.window, tuple(recent))
            current = None
        recent = windows_with_data[-rules.enter_of :]
        if window.band and sum(other.band == window.band for other in recent) >= rules.enter_x:
            current = Stay(
                window.band, window.window, from_band=left_stay.band if left_stay else None, entry=tuple(recent)
            )
            since, stayed = len(windows_with_data), []
            if left_stay:
                stays[-1] = _end_stay(left_stay, window.window, left_stay.exit, window.band)
            stays.append(current)
    if current:
        stays[-1] = replace(current, stayed_windows=tuple(stayed))
    return stays


def _end_stay(stay: Stay, window: str, evidence: tuple[EvaluatedWindow, ...], to_band: str | None = None) -> Stay:
    return replace(stay, left=window, to_band=to_band, exit=evidence)


@dataclass(frozen=True)
class PublishedStay:
    """A published stay. `stayed_windows`: the windows that were published as those in which it went on."""

    id: UUID
    band: str
    entered: str
    left: str | None = None
    to_band: str | None = None
    stayed_windows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Transition:
    """A change to publish: a stay entered or left, the retraction of either (`retract_…`), or `stayed`: it went on in
    `windows`, and no longer in `withdrawn` ones; `stayed_windows` are then all of its windows."""

    kind: Literal["entered", "stayed", "left", "retract_entered", "retract_left"]
    stay_id: UUID
    band: str
    at_window: str
    stay: Stay | None = None
    windows: tuple[EvaluatedWindow, ...] = ()
    withdrawn: tuple[str, ...] = ()
    stayed_windows: tuple[str, ...] = ()


def diff_stays(
    published: Iterable[PublishedStay], derived: Sequence[Stay], new_stay_id: Callable[[Stay], UUID], *, begin: str = ""
) -> list[Transition]:
    """The transitions from the published stays to the derived ones: retractions (newest first), then the others (oldest
    first). `new_stay_id` makes the id of a stay that was not published. `begin`: as for `derive_stays`."""
    known = {(stay.band, stay.entered): stay for stay in published}
    current = {(stay.band, stay.entered): stay for stay in derived}
    gone: list[Transition] = []
    for place, stay in sorted(known.items(), key=lambda item: item[0][1], reverse=True):
        now = current.get(place)
        if now is None:
            gone.append(Transition("retract_entered", stay.id, stay.band, stay.entered))
        elif stay.left is not None and (stay.left, stay.to_band) != (now.left, now.to_band):
            gone.append(Transition("retract_left", stay.id, stay.band, stay.left))
    new: list[Transition] = []
    for stay in derived:
        before = known.get((stay.band, stay.entered))
        stay_id = before.id if before else new_stay_id(stay)
        if before is None:
            new.append(Transition("entered", stay_id, stay.band, stay.entered, stay))
        if stayed := _build_stayed_transition(stay_id, stay, before.stayed_windows if before else (), begin):
            new.append(stayed)
        if stay.left is not None and (before is None or (before.left, before.to_band) != (stay.left, stay.to_band)):
            new.append(Transition("left", stay_id, stay.band, stay.left, stay))
    return gone + new


def _build_stayed_transition(stay_id: UUID, stay: Stay, published: Sequence[str], begin: str) -> Transition | None:
    """The windows of a stay from `begin` on that are not published yet or no longer hold; None when there are none."""
    now = {window.window for window in stay.stayed_windows}
    fresh = tuple(window for window in stay.stayed_windows if window.window not in published)
    withdrawn = tuple(window for window in published if window >= begin and window not in now)
    if not fresh and not withdrawn:
        return None
    all_windows = tuple(sorted((set(published) - set(withdrawn)) | now))
    at = fresh[-1].window if fresh else withdrawn[-1]
    return Transition("stayed", stay_id, stay.band, at, stay, fresh, withdrawn, all_windows)
