"""The driver against a small installation in memory: in which order it acts, and what a restart does."""

import asyncio
import itertools
import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from fake_tenant import QUIZ, FakeTenant
from simulator import Agent, Centre, HistoryProgress, SimulationFailed, run_history, run_live
from simulator.centre import workdays
from simulator.learners import draw_answers

OPENED = date(2026, 3, 2)
OPENING = datetime(2026, 3, 2, 4, tzinfo=UTC)
PRESENT = datetime(2026, 3, 13, 9, 30, tzinfo=UTC)  # a Friday, inside the shift

ADA = Agent("ada", "ada", "ada-login", "t", "Billing", habit=66, goal=40, diligence=4)
BEN = Agent("ben", "ben", "ben-login", "t", "Sales", habit=64, goal=50, diligence=None)
CENTRE = Centre((ADA, BEN), ZoneInfo("Europe/Berlin"), 3)


def fake(clock: datetime = OPENING) -> FakeTenant:
    return FakeTenant(clock, OPENED.isoformat())


def due_by(now: datetime, after: datetime = OPENING) -> set[bytes]:
    """What the phone system delivers after `after` and up to `now` when nobody learns."""
    everything = (each for day in workdays(OPENED, now.date()) for each in CENTRE.deliveries(day, {}))
    return {each.record for each in everything if after.timestamp() < each.at <= now.timestamp()}


async def undisturbed() -> FakeTenant:
    there = fake()
    await run_history(there.tenant(), CENTRE, PRESENT)
    return there


async def test_each_slice_moves_the_clock_posts_settles_and_then_people_learn():
    there = fake()
    told: list[HistoryProgress] = []
    there.lags = [0, 3, 1]  # not settled at first

    result = await run_history(there.tenant(), CENTRE, PRESENT, told.append)

    first_slice = there.log[: there.log.index("clock", 1)]
    assert first_slice.index("list completed") < first_slice.index("records")
    assert [each for each in first_slice if each != "list completed"] == [
        "clock", "lag", "lag", "lag", "lag", "records", "lag", "lag", "list started", "list assigned",
    ]  # fmt: skip
    assert there.clocks == sorted(there.clocks)
    assert there.clock == PRESENT
    assert [each.done for each in told] == list(range(1, len(told) + 1))
    assert told[-1] == result == HistoryProgress(19, 19, sum(map(len, there.posts)), PRESENT)


async def test_history_delivers_everything_once_and_in_order_and_nothing_of_the_future():
    there = await undisturbed()
    everything = [each for day in workdays(OPENED, PRESENT.date()) for each in CENTRE.deliveries(day, {})]
    wanted = [each.record for each in sorted(everything) if each.at <= PRESENT.timestamp()]
    assert [record for post in there.posts for record in post] == wanted
    assert len(wanted) < len(everything)


@pytest.mark.parametrize("nth", [1, 4, 9])
async def test_cut_off_while_posting_and_run_again_it_delivers_the_same(nth):
    whole = await undisturbed()
    there = fake()
    there.fail_on = nth
    with pytest.raises(SimulationFailed, match="500"):
        await run_history(there.tenant(), CENTRE, PRESENT)
    assert there.taken_in < whole.taken_in

    await run_history(there.tenant(), CENTRE, PRESENT)

    assert [record for post in there.posts for record in post] == [record for post in whole.posts for record in post]


async def test_run_again_after_it_ended_only_the_seam_is_posted_once_more():
    there = await undisturbed()
    before = set(there.taken_in)
    posts = len(there.posts)
    later = PRESENT + timedelta(minutes=30)

    await run_history(there.tenant(), CENTRE, later)

    seam = CENTRE.find_resume_point(PRESENT)
    again = [record for post in there.posts[posts:] for record in post]
    assert there.taken_in > before
    assert set(again) == due_by(later, after=seam)

    await run_history(there.tenant(), CENTRE, PRESENT)
    assert there.clock == later
    assert len(there.posts) == posts + 1


async def test_agents_learn_with_their_own_tokens_and_their_habits_follow():
    there = fake()
    there.assign("ada", OPENING + timedelta(days=1))
    there.assign("ben", OPENING + timedelta(days=1))
    plain = await undisturbed()

    await run_history(there.tenant(), CENTRE, PRESENT)

    assert there.assignments["ada-reading-0"]["passed"] is True
    assert there.assignments["ben-reading-1"]["status"] == "assigned"  # never opens one
    steps = [each for each in there.log if " by " in each]
    assert steps == ["start ada-reading-0 by ada-login", "complete ada-reading-0 by ada-login"]
    assert there.log.index(steps[1]) - there.log.index(steps[0]) > 3  # not in the same slice
    assert _silence(there, "ada") < _silence(plain, "ada") - 5
    assert _silence(there, "ben") == _silence(plain, "ben")


def _silence(there: FakeTenant, username: str) -> float:
    """Percent of silence in the calls of the second week, duplicates left out."""
    mine, silent, total = set(), 0, 0
    for record in there.taken_in:
        body = json.loads(record)
        recent = body.get("InitiationTimestamp", "") > "2026-03-09"
        if recent and body["Agent"] and body["Agent"]["Username"] == username:
            mine.add(body["ContactId"])
    for record in there.taken_in:
        body = json.loads(record)
        if body.get("CustomerMetadata", {}).get("ContactId") in mine:
            silent += body["ConversationCharacteristics"]["NonTalkTime"]["TotalTimeMillis"]
            total += body["ConversationCharacteristics"]["TotalConversationDurationMillis"]
    return 100 * silent / total


async def test_after_a_restart_habits_are_read_back_from_finished_trainings():
    there = fake()
    there.assign("ada", OPENING + timedelta(days=1))
    await run_history(there.tenant(), CENTRE, PRESENT)

    again = fake()
    again.assign("ada", OPENING + timedelta(days=1))
    again.fail_on = 11
    with pytest.raises(SimulationFailed):
        await run_history(again.tenant(), CENTRE, PRESENT)
    await run_history(again.tenant(), CENTRE, PRESENT)

    assert again.posts == there.posts


async def test_a_quiz_that_is_failed_is_tried_again_another_day_and_a_withdrawn_one_left_alone():
    there = fake()
    there.assign("ada", OPENING, template="quiz")
    there.assign("ada", OPENING, template="reading")["status"] = "withdrawn"
    gone = there.assign("ada", OPENING, template="other")
    seed = next(seed for seed in range(200) if _right(seed, 0) < 4 and _right(seed, 1) >= 4)
    answer = there.answer

    def withdraw_meanwhile(request):
        if request.url.path.endswith("/start") and gone["id"] in request.url.path:
            gone["status"] = "withdrawn"
        return answer(request)

    there.answer = withdraw_meanwhile
    await run_history(there.tenant(), replace(CENTRE, seed=seed), PRESENT)

    assert there.assignments["ada-quiz-0"]["attempts"] == 2
    assert there.assignments["ada-quiz-0"]["status"] == "completed"
    assert [name for name, _ in there.answered] == ["ada-quiz-0", "ada-quiz-0"]
    assert gone["started_at"] is None


def _right(seed: int, attempt: int) -> int:
    answers = draw_answers(QUIZ, Random(f"{seed}/ada/quiz/{OPENING.date()}/{attempt}"))
    return sum(chosen == ["right"] for chosen in answers.values())


def test_answers_are_mostly_right():
    rights = [sum(chosen == ["right"] for chosen in draw_answers(QUIZ, Random(n)).values()) for n in range(400)]
    assert 0.85 < sum(rights) / (5 * len(rights)) < 0.91


async def test_a_token_that_is_refused_is_fetched_again():
    there = fake()
    tenant = there.tenant()
    await tenant.load_clock()
    there.valid.clear()
    assert await tenant.load_clock() == OPENING
    assert there.signed_in["admin"] == 2


async def test_services_that_do_not_get_further_are_told():
    there = fake()
    there.lags = [7] * 1_000_000  # however fast it asks
    with pytest.raises(SimulationFailed, match="'directory': 7"):
        await there.tenant().wait_until_idle(timeout=0.2)


class _Pauses:
    """Stands for the passing of time: after `count` pauses the shift is cancelled."""

    def __init__(self, count: int) -> None:
        self.left = count

    async def __call__(self, seconds: float) -> float:
        if self.left == 0:
            raise asyncio.CancelledError
        self.left -= 1
        return seconds


async def live(there: FakeTenant, speed: float, pauses: int, **options) -> None:
    options = {"wall": lambda: PRESENT + timedelta(days=30), **options}
    with pytest.raises(asyncio.CancelledError):
        await run_live(there.tenant(), CENTRE, speed, pause=_Pauses(pauses), **options)


async def test_the_clock_stops_at_the_present_and_goes_on_in_real_time():
    there = await undisturbed()
    told: list[datetime] = []
    wall = PRESENT + timedelta(minutes=5)

    class Wall(_Pauses):
        async def __call__(self, seconds: float) -> float:
            nonlocal wall
            wall += timedelta(seconds=seconds)
            return await super().__call__(seconds)

    with pytest.raises(asyncio.CancelledError):
        await run_live(
            there.tenant(), CENTRE, 60, wall=lambda: wall, pause=Wall(8), on_present=lambda: told.append(there.clock)
        )

    steps = [now - PRESENT for now in there.clocks if now > PRESENT]
    assert steps[:2] == [timedelta(minutes=2), timedelta(minutes=4)]
    assert steps[2] == timedelta(minutes=5, seconds=6), "caught up with the wall"
    assert [later - one for one, later in itertools.pairwise(steps[2:])] == [timedelta(seconds=10)] * 5
    assert told == [PRESENT + steps[2]], "it is said once"
    assert there.taken_in == due_by(there.clock)


async def test_a_clock_that_is_ahead_of_the_wall_waits_for_it():
    there = await undisturbed()
    await live(there, 60, 4, wall=lambda: PRESENT - timedelta(hours=3))
    assert there.clock == PRESENT


@pytest.mark.parametrize(
    "now, begins",
    [
        (datetime(2026, 3, 13, 9, 30, tzinfo=UTC), datetime(2026, 3, 13, 8, tzinfo=UTC)),
        (datetime(2026, 3, 13, 7, 59, tzinfo=UTC), datetime(2026, 3, 12, 8, tzinfo=UTC)),
        (datetime(2026, 3, 15, 12, tzinfo=UTC), datetime(2026, 3, 13, 8, tzinfo=UTC)),
    ],
)
def test_the_newest_shift_is_that_of_the_last_workday(now, begins):
    assert CENTRE.last_shift(now) == begins


async def test_a_live_shift_goes_on_from_the_clock_and_leaps_the_night():
    there = await undisturbed()
    await live(there, 600, 40)

    steps = [now for now in there.clocks if now > PRESENT]
    assert steps[0] - PRESENT == timedelta(minutes=20)  # 600 times two seconds
    night = CENTRE.instant_at(date(2026, 3, 16), time(9))
    assert night in steps
    assert not [now for now in steps if not CENTRE.on_shift(now)]
    assert there.taken_in == due_by(there.clock)


async def test_in_real_time_the_clock_keeps_step_with_the_wall():
    there = await undisturbed()
    await live(there, 1, 3)
    assert [now - PRESENT for now in there.clocks[-3:]] == [timedelta(seconds=each) for each in (10, 20, 30)]


async def test_a_live_shift_survives_services_that_are_away_for_a_moment():
    there = await undisturbed()
    posted = len(there.posts)
    there.fail_on = there.attempts + 2
    await live(there, 60, 30)
    assert len(there.posts) > posted + 5
    assert there.clock - PRESENT >= timedelta(minutes=50)
    assert there.taken_in == due_by(there.clock)


async def test_speed_must_be_positive():
    with pytest.raises(ValueError, match="above 0"):
        await run_live(fake().tenant(), CENTRE, 0)
