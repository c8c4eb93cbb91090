"""The simulated call centre: the records that its phone system delivers, day by day. It has no state and does no I/O: the
same seed, days and finished trainings give the same bytes."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from simulator.amazon_connect import encode_line, render_contact_lens, render_contact_record
from simulator.calls import SHIFT, Call, correct_call, generate_calls
from simulator.roster import Agent, build_roster, is_workday, next_workday

SEED = 11
SOURCE = "amazon-connect"

DUPLICATED_SHARE = 0.05
LATE_SHARE = 0.02
CORRECTED_SHARE = 0.01
SLICES = (time(13, 0), time(18, 0))
LONGEST_DELAY_DAYS = 9

_HOUR, _DAY = 3600, 86_400


@dataclass(frozen=True, order=True)
class Delivery:
    """A record (a line of NDJSON) that is delivered at `at`, seconds since 1970 UTC. `order` sorts records of one instant."""

    at: int
    order: tuple[date, int]
    record: bytes


@dataclass(frozen=True)
class Centre:
    """A call centre of one site. `agents` are those of `build_roster`, `zone` is the time zone of the site."""

    agents: Sequence[Agent]
    zone: ZoneInfo
    seed: int

    def deliveries(self, day: date, finished: Mapping[str, Iterable[date]]) -> list[Delivery]:
        """All records of a workday's calls, in order of delivery; some are delivered days later. `finished` holds the days on
        which agents finished trainings, by slug."""
        habits = {agent.slug: agent.habit_on(day, finished.get(agent.slug, ())) for agent in self.agents}
        calls = generate_calls(day, self.agents, habits, zone=self.zone, seed=self.seed)
        records = _deliver_records(calls, Random(f"{self.seed}/{day}/delivery"))  # noqa: S311
        ordered = sorted(enumerate(records), key=lambda item: (item[1][0], item[0]))
        return [Delivery(at, (day, index), record) for index, (_, (at, record)) in enumerate(ordered)]

    def slice_ends(self, after: datetime, until: datetime) -> list[datetime]:
        """The instants after `after` and up to `until` at which history posts the records that are due. The last is `until`."""
        ends = [until]
        day = self.calendar_day(after)
        while day <= self.calendar_day(until):
            if is_workday(day):
                ends += [self.instant_at(day, clock) for clock in SLICES]
            day += timedelta(days=1)
        return sorted({end for end in ends if after < end <= until})

    def find_resume_point(self, clock: datetime) -> datetime:
        """The last end of a slice before `clock`. Records after it may not have been delivered."""
        return next(before for before in self._ends_backwards(clock) if before < clock)

    def on_shift(self, now: datetime) -> bool:
        """Whether records are delivered: from the start of a shift to half an hour after its end."""
        day = self.calendar_day(now)
        return is_workday(day) and self.instant_at(day, SHIFT[0]) <= now < self.instant_at(day, SLICES[-1])

    def last_shift(self, now: datetime) -> datetime:
        """The start of the latest shift that had started by `now`."""
        day = self.calendar_day(now)
        while not is_workday(day) or self.instant_at(day, SHIFT[0]) > now:
            day -= timedelta(days=1)
        return self.instant_at(day, SHIFT[0])

    def next_shift(self, now: datetime) -> datetime:
        """The start of the next shift after `now`."""
        day = self.calendar_day(now)
        if is_workday(day) and now < self.instant_at(day, SHIFT[0]):
            return self.instant_at(day, SHIFT[0])
        return self.instant_at(next_workday(day), SHIFT[0])

    def calendar_day(self, instant: datetime) -> date:
        """The date of an instant at the site, from midnight to midnight. Shifts follow the calendar, Monday to Friday. For
        which workday a call counts is Uplift's decision; the simulator, as a customer, does not know it."""
        return instant.astimezone(self.zone).date()

    def instant_at(self, day: date, clock: time) -> datetime:
        """The instant, in UTC, of a local time on a day at the site."""
        return datetime.combine(day, clock, self.zone).astimezone(UTC)

    def _ends_backwards(self, start: datetime) -> Iterator[datetime]:
        day = self.calendar_day(start)
        while True:
            if is_workday(day):
                yield from (self.instant_at(day, clock) for clock in reversed(SLICES))
            day -= timedelta(days=1)


def build_centre(identity: Mapping[str, Any], *, featured: str, seed: int = SEED) -> Centre:
    """The call centre of a blueprint's identity section. `featured` is the login of an agent who is in the coaching band and
    completes trainings."""
    agents = build_roster(identity, source=SOURCE, seed=seed, featured=featured)
    return Centre(agents, ZoneInfo(identity["time_zone"]), seed)


def _deliver_records(calls: Sequence[Call], rng: Random) -> Iterator[tuple[int, bytes]]:
    for call in calls:
        written = call.disconnected + call.acw + rng.randint(1, 20)
        last = yield from _once_or_more(rng, written, encode_line(render_contact_record(call, written)))
        if call.agent:
            analysed = call.disconnected + rng.randint(45, 240)
            last = max(last, (yield from _once_or_more(rng, analysed, encode_line(render_contact_lens(call)))))
        if call.agent and rng.random() < CORRECTED_SHARE:
            # After all records of the first version, because analyses have no timestamp by which to order them.
            corrected_at = last + rng.randint(_DAY, 5 * _DAY)
            corrected = correct_call(call, rng)
            yield corrected_at, encode_line(render_contact_record(corrected, corrected_at))
            if corrected.silences != call.silences:
                yield corrected_at + 1, encode_line(render_contact_lens(corrected))


def _once_or_more(rng: Random, at: int, record: bytes) -> Generator[tuple[int, bytes], None, int]:
    """Yields the delivery of a record, some late, some twice. Returns the time of the last one."""
    if rng.random() < LATE_SHARE:
        at += rng.randint(2 * _HOUR, 20 * _HOUR)
    yield at, record
    if rng.random() < DUPLICATED_SHARE:
        at += rng.randint(20, 1800)
        yield at, record
    return at


def workdays(first: date, last: date) -> list[date]:
    """Mondays to Fridays from `first` to `last`, both included."""
    count = (last - first).days + 1
    return [day for day in (first + timedelta(days=offset) for offset in range(count)) if is_workday(day)]
