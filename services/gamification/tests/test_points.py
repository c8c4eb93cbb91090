"""What grants points, and what reverses them."""

from datetime import timedelta

import pytest
from contracts import new_id
from contracts.awards import PointsGranted, PointsReversed
from gamification.actions.improvement import SETTLE_DELAY
from servicekit.errors import Unavailable
from sqlalchemy.exc import IntegrityError
from testkit import org_unit, parse_instant, person_id, stable_ids, tenant


async def test_leaving_a_band_for_a_better_one_grants_points_once(game):
    await game.blueprint(game.LEFT)
    stay = await game.leave("ada")
    await game.leave("ben", to_band="critical", to_rank=3)
    await game.leave("ben", to_band=None, to_rank=None)
    await game.leave("ben", band="watch", rank=1, to_band="good", to_rank=0)
    await game.leave("ben", kpi="aht")
    await game.leave("ben", mode="history")
    assert await game.ledger() == [("ada", "left-coach", 100)]
    (event,) = await game.h.read_events(PointsGranted)
    assert (event.agent_id, event.points, event.balance) == (person_id("ada"), 100, 100)
    assert event.cause == str(stay.band_event_id)
    assert event.title["zh"] == "离开辅导区间"


@pytest.mark.parametrize("retracts", ["entered", "left"])
async def test_a_corrected_band_takes_the_points_back_once(game, retracts):
    await game.blueprint(game.LEFT)
    stay = await game.leave("ada")
    await game.leave("ada")
    game.now += timedelta(days=30)
    await game.correct(stay, retracts)
    await game.correct(stay, retracts)
    assert await game.ledger() == [("ada", "left-coach", 100), ("ada", "left-coach", 100), ("ada", "left-coach", -100)]
    assert await game.balance("ada") == 100
    (event,) = await game.h.read_events(PointsReversed)
    assert (event.points, event.balance, event.reason) == (-100, 100, "a corrected call")
    granted = await game.h.read_events(PointsGranted)
    assert event.reverses == granted[0].entry_id
    (entry,) = [each for each in (await game.get("ann", "/ledger"))["items"] if each["points"] < 0]
    assert (entry["earned_on"], entry["at"][:10]) == ("2026-03-18", "2026-04-17")
    assert entry["reason"] == {
        "code": "band_corrected",
        "values": {},
        "text": {"en": "the band was corrected", "zh": "所处区间已更正"},
    }


async def test_a_stay_that_is_left_again_grants_its_points_again_but_no_old_event_does(game):
    await game.blueprint(game.LEFT)
    first, second = stable_ids("first leaving", "second leaving")
    stay = await game.leave("ada", ids=[first])
    await game.correct(stay, "left")
    await game.leave("ada", band_event_id=stay.band_event_id, ids=[first])
    assert await game.balance("ada") == 0
    await game.leave("ada", band_event_id=stay.band_event_id, ids=[second])
    assert await game.balance("ada") == 100
    await game.leave("ada", band_event_id=stay.band_event_id, ids=[new_id()])
    assert await game.balance("ada") == 100  # one stay is not rewarded twice at a time


async def test_a_repeated_correction_does_not_reverse_points_that_were_granted_after_it(game):
    await game.blueprint(game.LEFT)
    first, second, correction = stable_ids("first leaving", "second leaving", "correction")
    stay = await game.leave("ada", ids=[first])
    await game.correct(stay, "left", ids=[correction])
    await game.leave("ada", band_event_id=stay.band_event_id, ids=[second])
    # A relay that died publishes all three once more.
    await game.leave("ada", band_event_id=stay.band_event_id, ids=[first])
    await game.correct(stay, "left", ids=[correction])
    await game.leave("ada", band_event_id=stay.band_event_id, ids=[second])
    assert await game.balance("ada") == 100
    assert await game.ledger() == [("ada", "left-coach", points) for points in (100, -100, 100)]


async def test_history_takes_no_points_back(game):
    await game.blueprint(game.LEFT, game.BETTER)
    stay = await game.leave("ada")
    await game.correct(stay, "entered", mode="history")
    for day, numerator in (("2026-03-09", 60), ("2026-03-10", 60), ("2026-03-11", 20)):
        await game.score("ada", day, numerator)
    before = await game.ledger()
    assert ("ada", "better", 10) in before
    await game.score("ada", "2026-03-10", 1, mode="history")
    assert await game.ledger() == before


async def test_a_finished_training_grants_points_by_its_rule(game):
    await game.blueprint(
        game.TRAINED, {**game.TRAINED, "rule": "quiz", "template": "quiz", "points": 5, "passed_only": False}
    )
    await game.complete("ada")
    await game.complete("ada", "quiz", passed=False, score_percent=10)
    await game.complete("ada", "quiz", passed=True, score_percent=90)
    assert sorted(await game.ledger()) == [
        ("ada", "quiz", 5), ("ada", "quiz", 5), ("ada", "trained", 20), ("ada", "trained", 20)
    ]  # fmt: skip


async def test_inactive_rules_give_nothing(game):
    await game.blueprint(
        {**game.LEFT, "active": False}, {**game.TRAINED, "active": False}, {**game.BETTER, "active": False}
    )
    await game.leave("ada")
    await game.complete("ada")
    for day, numerator in (("2026-03-09", 60), ("2026-03-10", 60), ("2026-03-11", 20)):
        await game.score("ada", day, numerator)
    assert await game.ledger() == []


async def test_improvement_on_the_own_baseline_worked_by_hand(game):
    await game.blueprint(game.BETTER)
    await game.score("ada", "2026-03-09", 60, 100)
    await game.score("ada", "2026-03-10", 70, 300)  # with the day before 130 of 400: 32.5 %
    await game.score("ada", "2026-03-11", 29, 100)  # 10.8 % better
    await game.score("ada", "2026-03-12", 25, 100)  # against 99 of 400, 24.75 %: worse
    (entry,) = (await game.get("ann", "/ledger"))["items"]
    assert (entry["cause"], entry["earned_on"], entry["points"]) == ("silence_pct 2026-03-11", "2026-03-11", 10)
    assert entry["detail"] == {"value": "29.0000", "baseline": "32.5000", "improvement": "10.7692"}


async def test_days_below_the_sample_neither_earn_nor_count(game):
    await game.blueprint(game.BETTER)
    await game.score("ada", "2026-03-09", 60)
    await game.score("ada", "2026-03-10", 1, sample=4)
    await game.score("ada", "2026-03-11", 20)  # one day of baseline is not two
    await game.score("ada", "2026-03-12", 1, sample=4)
    assert await game.ledger() == []
    await game.score("ada", "2026-03-13", 20)  # baseline 80 of 200
    assert await game.ledger() == [("ada", "better", 10)]


async def test_history_is_a_baseline_and_earns_nothing(game):
    await game.blueprint(game.BETTER)
    for day, numerator in (("2026-03-09", 60), ("2026-03-10", 60), ("2026-03-11", 20)):
        await game.score("ada", day, numerator, mode="history")
    assert await game.ledger() == []
    await game.score("ada", "2026-03-12", 20)  # baseline 80 of 200
    assert await game.ledger() == [("ada", "better", 10)]


async def test_steps_absolute_units_higher_is_better_and_the_weeks_cap(game):
    rule = {**game.BETTER, "measure": "absolute", "min_improvement": "2.5", "step": "2.5", "week_cap": 35}
    await game.blueprint(rule)
    up = {"direction": "higher_is_better"}
    for day, numerator in (
        ("2026-03-05", 40),
        ("2026-03-06", 40),
        ("2026-03-09", 46),
        ("2026-03-10", 56),
        ("2026-03-11", 99),
    ):
        await game.score("ada", day, numerator, **up)
    # Monday 6 better: 2 steps. Tuesday against 43: 13 better, 5 steps, of which the week leaves 15 points.
    assert await game.ledger() == [("ada", "better", 20), ("ada", "better", 15)]
    await game.score("ada", "2026-03-16", 99, **up)  # the next week, against 77.5: 8 steps, capped at 35
    assert await game.balance("ada") == 70
    await game.score("ada", "2026-03-09", 40, **up)  # Monday earns nothing; Tuesday against 40: 6 steps, capped at 35
    assert await game.balance("ada") == 70
    assert (await game.ledger())[-3:] == [("ada", "better", -20), ("ada", "better", -15), ("ada", "better", 35)]


async def test_another_model_or_a_target_area_is_not_compared(game):
    await game.blueprint(game.BETTER)
    for day in ("2026-03-09", "2026-03-10"):
        await game.score("ada", day, 60)
        await game.score("ben", day, 60, direction="target_area")
    await game.score("ada", "2026-03-11", 20, model_version=2)
    await game.score("ben", "2026-03-11", 20, direction="target_area")
    assert await game.ledger() == []


async def test_a_corrected_score_moves_that_day_and_those_it_is_the_baseline_of(game):
    await game.blueprint(game.BETTER)
    for day, numerator in (("2026-03-09", 60), ("2026-03-10", 60), ("2026-03-11", 50), ("2026-03-12", 45)):
        await game.score("ada", day, numerator)
    assert await game.ledger() == [("ada", "better", 10), ("ada", "better", 10)]
    await game.score("ada", "2026-03-10", 40)  # 11 March: 50 against 50; 12 March: 45 against 45
    assert await game.balance("ada") == 0
    await game.score("ada", "2026-03-10", 60)
    assert await game.balance("ada") == 20
    await game.score("ada", "2026-03-10", 0, 0)  # no calls any more: 11 March has one day of baseline, 12 March 55
    assert await game.balance("ada") == 10
    points = [points for _, _, points in await game.ledger()]
    assert points == [10, 10, -10, -10, 10, 10, -10]
    assert [each.balance for each in await game.h.read_events(PointsReversed)] == [10, 0, 10]


async def test_a_running_day_is_judged_when_it_is_over(game):
    await game.people("acme", time_zone="Asia/Shanghai", day_start_minutes=240)
    await game.blueprint(game.BETTER)
    for day in ("2026-03-09", "2026-03-10"):
        await game.score("ada", day, 60)
    over = parse_instant("2026-03-11T20:00Z")  # 04:00 of 12 March in Shanghai
    for numerator in (20, 30, 25):
        await game.score("ada", "2026-03-11", numerator, at=over - timedelta(hours=6))
    assert await game.ledger() == []
    await game.h.tick(over - timedelta(seconds=1))
    assert await game.ledger() == []
    await game.h.tick(over)
    await game.h.tick(over + timedelta(hours=1))
    assert await game.ledger() == [("ada", "better", 10)]


async def test_points_of_the_running_day_are_shown_as_provisional(game):
    await game.blueprint({**game.BETTER, "week_cap": 15, "step": 10})
    for day in ("2026-03-12", "2026-03-13"):
        await game.score("ada", day, 60)

    async def shown(who="ada", agent="ada"):
        found = await game.get(who, "/balance", agent=agent)
        return found["balance"], found["provisional"]

    assert await shown() == (0, {"workday": "2026-03-18", "points": 0})
    for numerator, points in ((50, 10), (60, 0), (20, 15)):  # the week's cap is 15
        await game.score("ada", "2026-03-18", numerator, settled=False)
        assert await shown() == (0, {"workday": "2026-03-18", "points": points})
    assert await shown("lea") == await shown("ann") == await shown()
    assert await shown("ann", "ben") == (0, {"workday": "2026-03-18", "points": 0})
    assert await game.ledger() == []
    await game.score("ada", "2026-03-17", 50)  # 10 of the week's 15 points
    assert await shown() == (10, {"workday": "2026-03-18", "points": 5})
    over = parse_instant("2026-03-19T00:00Z")
    await game.people("acme", simulated=True, clock=over)
    await game.h.tick(over)
    assert await shown() == (15, {"workday": "2026-03-19", "points": 0})


async def test_provisional_points_need_a_live_day_and_a_rule_in_force(game):
    await game.blueprint(game.BETTER)
    for day in ("2026-03-12", "2026-03-13"):
        await game.score("ada", day, 60)
        await game.score("ben", day, 60)
    await game.score("ada", "2026-03-18", 20, settled=False)
    await game.score("ben", "2026-03-18", 20, settled=False, mode="history")
    for who, points in (("ada", 10), ("ben", 0)):
        assert (await game.get(who, "/balance"))["provisional"]["points"] == points
    await game.blueprint()
    assert (await game.get("ada", "/balance"))["provisional"]["points"] == 0


async def test_a_running_day_is_over_when_it_is_at_the_agents_site(game):
    await game.people("acme", time_zone="Europe/Berlin")
    sites = [org_unit("team-a", time_zone="America/New_York")]
    await game.h.apply_directory("acme", of_tenant=tenant("acme", time_zone="Europe/Berlin"), org_units=sites)
    await game.blueprint(game.BETTER)
    for day in ("2026-03-16", "2026-03-17"):
        await game.score("ada", day, 60, at=parse_instant("2026-03-18T12:00Z"))
    await game.score("ada", "2026-03-18", 20, at=parse_instant("2026-03-18T20:00Z"))
    await game.h.tick(parse_instant("2026-03-19T03:59Z"))  # it is the nineteenth in Berlin
    assert await game.ledger() == []
    await game.h.tick(parse_instant("2026-03-19T04:00Z"))
    assert await game.ledger() == [("ada", "better", 10)]
    shanghai = [org_unit("team-a", time_zone="Asia/Shanghai")]
    await game.h.apply_directory("acme", of_tenant=tenant("acme", time_zone="Europe/Berlin"), org_units=shanghai)
    await game.score("ada", "2026-03-20", 1, at=parse_instant("2026-03-20T08:00Z"))
    await game.h.tick(parse_instant("2026-03-20T16:00Z"))  # it is over there, and not yet in Berlin
    assert await game.balance("ada") == 20


async def test_a_day_that_is_over_is_booked_once_it_has_settled(game):
    await game.people("other")
    await game.blueprint(game.BETTER, tenant="other")
    for day in ("2026-03-09", "2026-03-10"):
        await game.score("ada", day, 60, tenant="other")
    for second, numerator in enumerate((20, 70, 30, 80, 25)):
        at = game.now + timedelta(seconds=second)
        await game.score("ada", "2026-03-11", numerator, tenant="other", at=at, settled=False)
    last = game.now + timedelta(seconds=4)
    await game.h.tick(last + SETTLE_DELAY - timedelta(seconds=1))
    assert await game.ledger(tenant="other") == []
    await game.h.tick(last + SETTLE_DELAY)
    assert await game.ledger(tenant="other") == [("ada", "better", 10)]
    later = last + timedelta(hours=1)
    for numerator in (70, 20, 90):  # a correction that comes later is one entry, however often it is said
        await game.score("ada", "2026-03-11", numerator, tenant="other", at=later, settled=False)
    await game.h.tick(later + SETTLE_DELAY)
    assert await game.ledger(tenant="other") == [("ada", "better", 10), ("ada", "better", -10)]


async def test_a_rule_counts_from_when_it_is_made_and_edits_leave_past_days_alone(game):
    for day, numerator in (("2026-03-04", 60), ("2026-03-05", 60), ("2026-03-06", 20)):
        await game.score("ada", day, numerator)
    await game.blueprint({**game.BETTER, "min_improvement": 10})
    await game.score("ada", "2026-03-04", 61)
    assert await game.ledger() == []  # those days were over before there was a rule
    await game.score("ada", "2026-03-09", 20)  # against 40
    assert await game.balance("ada") == 10

    await game.blueprint({**game.BETTER, "points": 99})
    await game.score("ada", "2026-03-09", 21)
    assert await game.balance("ada") == 10
    await game.score("ada", "2026-03-10", 10)
    assert await game.balance("ada") == 109
    await game.blueprint()  # the rule is retired
    await game.score("ada", "2026-03-11", 1)
    assert await game.balance("ada") == 109
    await game.score("ada", "2026-03-09", 39)
    assert await game.balance("ada") == 99  # its entries can still be reversed


async def test_the_ledger_cannot_be_changed(game):
    await game.blueprint(game.LEFT)
    await game.leave("ada")
    for statement in ("UPDATE ledger SET points = 1000", "DELETE FROM ledger", "TRUNCATE ledger"):
        with pytest.raises(IntegrityError, match="append-only"):
            async with game.h.context.sessions.begin(["acme"], now=game.now) as session:
                await session.execute(statement)
    assert await game.balance("ada") == 100


async def test_two_tenants_with_the_same_ids_do_not_meet(game):
    await game.people("other")
    await game.blueprint(game.LEFT, game.BETTER)
    await game.blueprint({**game.LEFT, "points": 7}, tenant="other")
    stay = await game.leave("ada")
    await game.leave("ada", tenant="other", band_event_id=stay.band_event_id)
    assert (await game.balance("ada"), await game.balance("ada", "other")) == (100, 7)
    await game.correct(stay, "entered", tenant="other")
    assert (await game.balance("ada"), await game.balance("ada", "other")) == (100, 0)
    assert await game.ledger(tenant="other") == [("ada", "left-coach", 7), ("ada", "left-coach", -7)]
    assert [each["points"] for each in (await game.get("ann", "/leaderboards/week/standings", "other"))["items"]] == []


async def test_an_event_of_a_tenant_the_directory_does_not_know_yet_is_tried_again(game):
    with pytest.raises(Unavailable):
        await game.score("ada", "2026-03-09", 60, tenant="later")
    await game.people("later")
    await game.score("ada", "2026-03-09", 60, tenant="later")
    assert len(await game.h.rows("later", "SELECT 1 FROM score_day WHERE tenant = 'later'")) == 1
