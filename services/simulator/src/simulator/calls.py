"""Generates the calls of a workday, without the format of a vendor. The same seed generates the same calls."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from random import Random
from typing import TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

from simulator.roster import Agent

SHIFT = (time(9, 0), time(17, 30))
TRANSFERRED_SHARE = 0.05
ABANDONED_SHARE = 0.05
SILENCE_DEVIATION = 8.0  # standard deviation of the percent of silence between the calls of one agent
MIN_SILENCE_MS = 3_001  # Contact Lens counts silences of more than three seconds
MIN_TALK_MS = 250

REASONS = {
    "Billing": ("invoice", "payment", "refund", "tariff"),
    "Technical Support": ("no_connection", "slow_line", "router", "email_setup"),
    "Sales": ("new_contract", "upgrade", "cancellation", "delivery"),
}
OTHER_REASONS = ("question", "complaint", "order")
LANGUAGES = (("en", 0.6), ("de", 0.9), ("zh", 1.0))

# Blocks of telephone numbers that the German regulator (Bundesnetzagentur) reserves for fiction.
NUMBERS = ("+493023125", "+494066969", "+496990009", "+498999998", "+492214710")


class _Concern(TypedDict):
    queue: str
    reason: str
    language: str
    customer: str


@dataclass(frozen=True)
class Call:
    """One contact: one agent's part of a call, or a caller who hung up in the queue (`agent` None).

    Instants are seconds since 1970 UTC, `acw` and `holds` are seconds. `silences` and `interruptions` are [begin, end) in ms
    from the start of the conversation. `initial`, `previous` and `following` are the contacts of the same call that was
    transferred.
    """

    contact: str
    queue: str
    reason: str
    language: str
    customer: str
    initiated: int
    enqueued: int
    disconnected: int
    agent: Agent | None = None
    connected: int | None = None
    acw: int = 0
    holds: tuple[int, ...] = ()
    silences: tuple[tuple[int, int], ...] = ()
    interruptions: tuple[tuple[int, int], ...] = ()
    agent_share: float = 0.5
    sentiment: tuple[float, float] = (0.0, 0.0)
    initial: str | None = None
    previous: str | None = None
    following: str | None = None

    @property
    def conversation(self) -> int:
        """The duration of the conversation with its holds, in seconds."""
        return 0 if self.connected is None else self.disconnected - self.connected

    @property
    def silent_ms(self) -> int:
        """The sum of all silences, in ms."""
        return sum(end - begin for begin, end in self.silences)


@dataclass(frozen=True)
class _Plan:
    """A call without its time of day: durations in seconds, and the share of silence from 0 to 1."""

    conversation: int
    acw: int
    silence: float


def generate_calls(
    day: date, agents: Sequence[Agent], habits: Mapping[str, float], *, zone: ZoneInfo, seed: int
) -> list[Call]:
    """All calls of a workday, in order of their beginning. `habits` is the percent of silence of each agent on that day, by
    slug."""
    begin, end = (int(datetime.combine(day, at, zone).timestamp()) for at in SHIFT)
    calls: list[Call] = []
    for agent in agents:
        calls += _generate_agent_calls(Random(f"{seed}/{day}/{agent.slug}"), agent, habits[agent.slug], begin, end)  # noqa: S311
    rng = Random(f"{seed}/{day}/queues")  # noqa: S311
    calls = _transfer(rng, sorted(calls, key=lambda call: (call.initiated, call.contact)))
    offered = len(calls) / (1 - ABANDONED_SHARE)
    queues = sorted({agent.queue for agent in agents})
    calls += [_abandoned(rng, queues, begin, end) for _ in range(round(rng.gauss(offered * ABANDONED_SHARE, 4)))]
    return sorted(calls, key=lambda call: (call.initiated, call.contact))


def split_randomly(rng: Random, total: int, parts: int, minimum: int) -> list[int]:
    """Splits `total` into `parts` random integers of at least `minimum` each. Raises ValueError when that is impossible."""
    spare = total - parts * minimum
    if spare < 0 or parts < 1:
        raise ValueError(f"{total} does not make {parts} parts of at least {minimum}")
    cuts = sorted([int(rng.random() * (spare + 1)) for _ in range(parts - 1)])
    return [upper - lower + minimum for lower, upper in zip([0, *cuts], [*cuts, spare], strict=True)]


def _generate_agent_calls(rng: Random, agent: Agent, habit: float, begin: int, end: int) -> list[Call]:
    plans: list[_Plan] = []
    seconds_left = (end - begin) * 0.9
    for _ in range(max(2, round(rng.gauss(agent.calls_a_day, agent.calls_a_day / 10)))):
        silence = min(max(rng.gauss(habit, SILENCE_DEVIATION), 5.0), 92.0)
        # Silence makes the same conversation longer.
        conversation = int(min(max(rng.lognormvariate(5.4, 0.42) * (0.6 + silence / 125), 60), 1500))
        acw = int(min(max(rng.gauss(48 * agent.pace, 18), 5), 240))
        seconds_left -= conversation + acw
        if seconds_left < 0:
            break
        plans.append(_Plan(conversation, acw, silence / 100))
    idle = end - begin - sum(plan.conversation + plan.acw for plan in plans)
    pauses = split_randomly(rng, idle, len(plans) + 1, 5)
    calls: list[Call] = []
    at = begin
    for plan, pause in zip(plans, pauses, strict=False):
        at += pause
        calls.append(_answered(rng, plan, agent, at))
        at += plan.conversation + plan.acw
    return calls


def _answered(rng: Random, plan: _Plan, agent: Agent, connected: int) -> Call:
    waited = int(min(rng.expovariate(1 / 22), 240)) + 1
    silent_ms = round(plan.conversation * 1000 * plan.silence)
    holds: tuple[int, ...] = ()
    if rng.random() < 0.22 and silent_ms > 20_000:
        holds = tuple(split_randomly(rng, rng.randint(10, max(10, silent_ms // 2500)), rng.choice((1, 1, 2)), 4))
    customer_sentiment = 2.4 - 3.2 * plan.silence
    return Call(
        contact=_contact_id(rng),
        **_concern(rng, agent.queue),
        initiated=connected - waited - rng.randint(6, 25),
        enqueued=connected - waited,
        disconnected=connected + plan.conversation,
        agent=agent,
        connected=connected,
        acw=plan.acw,
        holds=holds,
        silences=draw_silences(rng, plan.conversation * 1000, silent_ms, holds),
        interruptions=_interruptions(rng, plan.conversation * 1000),
        agent_share=rng.uniform(0.4, 0.7),
        sentiment=(_sentiment(rng, 1.0), _sentiment(rng, customer_sentiment)),
    )


def draw_silences(
    rng: Random, conversation_ms: int, silent_ms: int, holds: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Intervals [begin, end) in ms that add up to `silent_ms`. The holds (seconds) are among them; the rest of `silent_ms` is
    left out where it is too short for a silence. There is talk before, between and after the intervals."""
    unheld_ms = silent_ms - sum(holds) * 1000
    pieces = [hold * 1000 for hold in holds]
    if unheld_ms >= MIN_SILENCE_MS:
        most = (conversation_ms - silent_ms) // MIN_TALK_MS - 1 - len(pieces)
        typical = round(unheld_ms / rng.uniform(6_000, 14_000))
        count = max(1, min(typical, unheld_ms // MIN_SILENCE_MS, most))
        pieces += split_randomly(rng, unheld_ms, count, MIN_SILENCE_MS)
    rng.shuffle(pieces)
    talks = split_randomly(rng, conversation_ms - sum(pieces), len(pieces) + 1, MIN_TALK_MS)
    intervals: list[tuple[int, int]] = []
    at = 0
    for talk, piece in zip(talks, pieces, strict=False):
        at += talk
        intervals.append((at, at + piece))
        at += piece
    return tuple(intervals)


def correct_call(call: Call, rng: Random) -> Call:
    """The call with corrected values: more after-call work and, for half of the calls, other holds and silences, as after
    another analysis of the recording."""
    acw = call.acw + rng.randint(8, 90)
    if rng.random() < 0.5:
        return replace(call, acw=acw)
    conversation_ms = call.conversation * 1000
    share = min(max(call.silent_ms / conversation_ms + rng.choice((-1, 1)) * rng.uniform(0.06, 0.18), 0.05), 0.92)
    holds = tuple(hold + rng.randint(0, 3) for hold in call.holds)
    silent_ms = max(round(conversation_ms * share), sum(holds) * 1000)
    return replace(call, acw=acw, holds=holds, silences=draw_silences(rng, conversation_ms, silent_ms, holds))


def _transfer(rng: Random, calls: list[Call]) -> list[Call]:
    """Makes `TRANSFERRED_SHARE` of the calls transferred ones: a later call of another queue becomes the second part of the
    call."""
    by_contact = {call.contact: call for call in calls}
    answered = sorted((call for call in calls if call.agent), key=lambda call: (call.connected or 0, call.contact))
    connected = [call.connected or 0 for call in answered]
    for call in sorted(answered, key=lambda call: (call.disconnected, call.contact)):
        if rng.random() >= TRANSFERRED_SHARE:
            continue
        call = by_contact[call.contact]
        for later in answered[bisect_right(connected, call.disconnected) :]:
            if (later.connected or 0) > call.disconnected + 900:
                break
            if later.queue == call.queue or by_contact[later.contact].previous:
                continue
            by_contact[call.contact] = replace(call, following=later.contact)
            by_contact[later.contact] = replace(
                by_contact[later.contact],
                customer=call.customer,
                language=call.language,
                initiated=call.disconnected,
                enqueued=call.disconnected,
                previous=call.contact,
                initial=call.initial or call.contact,
            )
            break
    return list(by_contact.values())


def _abandoned(rng: Random, queues: Sequence[str], begin: int, end: int) -> Call:
    enqueued = rng.randint(begin, end - 120)
    return Call(
        contact=_contact_id(rng),
        **_concern(rng, rng.choice(queues)),
        initiated=enqueued - rng.randint(6, 25),
        enqueued=enqueued,
        disconnected=enqueued + int(min(rng.expovariate(1 / 60), 600)) + 3,
    )


def _concern(rng: Random, queue: str) -> _Concern:
    draw = rng.random()
    return {
        "queue": queue,
        "reason": rng.choice(REASONS.get(queue, OTHER_REASONS)),
        "language": next(language for language, up_to in LANGUAGES if draw <= up_to),
        "customer": f"{rng.choice(NUMBERS)}{rng.randrange(1000):03}",
    }


def _interruptions(rng: Random, conversation_ms: int) -> tuple[tuple[int, int], ...]:
    intervals = []
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        begin = rng.randrange(conversation_ms - 2_000)
        intervals.append((begin, begin + rng.randint(300, 1_900)))
    return tuple(sorted(intervals))


def _sentiment(rng: Random, mean: float) -> float:
    return round(min(max(rng.gauss(mean, 1.2), -5.0), 5.0), 1)


def _contact_id(rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))
