"""Who stays in the band, fails, or is overdue, is followed up."""

from datetime import timedelta
from typing import Any

import pytest
from contracts import new_id
from contracts.assignments import AssignmentAssigned
from testkit import parse_instant

STAYED = {"trigger": "stayed", "windows": 3, "template": "silence-basics"}


async def list_assignments(training: Any) -> list[tuple[str, str, str]]:
    """Rule, trigger and status, oldest first."""
    rows = sorted(await training.assignments(), key=lambda row: (row["assigned_at"], row["rule"] or ""))
    return [(row["rule"], row["trigger"], row["status"]) for row in rows]


async def test_after_so_many_windows_in_the_band(training) -> None:
    await training.blueprint(training.rule("still", **STAYED))
    stay = await training.enter("ada", version=1)
    await training.stay(stay, "2026-03-05", "2026-03-06", version=2)
    assert await list_assignments(training) == []
    for _ in range(2):  # twice changes nothing
        await training.stay(stay, "2026-03-09", version=3)
    await training.stay(stay, "2026-03-10", version=4)
    assert await list_assignments(training) == [("still", "stayed", "assigned")]
    detail = (await training.h.client_as("tom", "acme").get(f"/assignments/{(await training.only())['id']}")).json()
    assert [each["window"] for each in detail["evidence"]["windows"]] == ["2026-03-05", "2026-03-06", "2026-03-09"]
    assert detail["evidence"]["trigger"] == "stayed"


async def test_windows_may_arrive_in_any_order_and_before_the_entering(training) -> None:
    await training.blueprint(training.rule("still", **STAYED))
    later = await training.enter("ben", version=1)
    stay = later.model_copy(
        update={"agent_id": (await training.enter("ada", version=1)).agent_id, "band_event_id": new_id()}
    )
    await training.stay(stay, "2026-03-09", version=4)
    await training.stay(stay, "2026-03-05", "2026-03-06", version=3)
    assert await list_assignments(training) == []  # nobody has entered it yet
    await training.h.deliver(stay.model_copy(update={"version": 2}), tenant="acme", at=training.now)
    assert await list_assignments(training) == [("still", "stayed", "assigned")]


async def test_the_next_round_counts_from_the_last_training(training) -> None:
    await training.blueprint(training.rule("still", **STAYED))
    stay = await training.enter("ada", version=1)
    await training.stay(stay, "2026-03-05", "2026-03-06", "2026-03-09", version=2)
    await training.people("acme", simulated=True, clock=parse_instant("2026-03-09T10:00Z"))
    await training.finish("ada", (await training.only())["id"])
    await training.stay(stay, "2026-03-10", "2026-03-11", version=3)
    assert await list_assignments(training) == [("still", "stayed", "completed")]
    await training.stay(stay, "2026-03-12", version=4)
    assert sorted(await list_assignments(training)) == [
        ("still", "stayed", "assigned"),
        ("still", "stayed", "completed"),
    ]


async def test_windows_that_are_corrected_away_take_back_what_was_not_started(training) -> None:
    await training.blueprint(training.rule("still", **STAYED))
    stay = await training.enter("ada", version=1)
    await training.stay(stay, "2026-03-05", "2026-03-06", "2026-03-09", version=2)
    await training.stay(stay, version=3, withdrawn=["2026-03-06"])
    assert (await training.only())["status"] == "withdrawn"
    await training.stay(stay, "2026-03-05", "2026-03-06", "2026-03-09", version=2)  # late
    assert (await training.only())["status"] == "withdrawn"
    await training.stay(stay, "2026-03-10", version=4)
    assert (await training.only())["status"] == "assigned"


async def test_what_was_withdrawn_by_hand_is_not_given_again(training) -> None:
    await training.blueprint(training.rule("still", **STAYED))
    stay = await training.enter("ada", version=1)
    await training.stay(stay, "2026-03-05", "2026-03-06", "2026-03-09", version=2)
    answer = await training.h.client_as("tom", "acme").delete(f"/assignments/{(await training.only())['id']}")
    assert answer.status_code == 204
    await training.stay(stay, "2026-03-10", version=3)
    assert await list_assignments(training) == [("still", "stayed", "withdrawn")]


async def test_a_stay_that_is_over_or_never_was_is_not_followed_up(training) -> None:
    await training.blueprint(training.rule("still", **STAYED))
    left, never = await training.enter("ada", version=1), await training.enter("ben", version=1)
    await training.stay(left, "2026-03-05", "2026-03-06", version=2)
    await training.leave(left, "2026-03-09", version=3)
    await training.stay(left, "2026-03-06", "2026-03-08", version=4)
    await training.stay(never, "2026-03-05", "2026-03-06", "2026-03-09", version=5)
    await training.correct(never, "entered", version=6)
    assert await list_assignments(training) == [("still", "stayed", "withdrawn")]


async def test_history_is_counted_and_assigns_nothing(training) -> None:
    await training.blueprint(training.rule("still", **STAYED))
    stay = await training.enter("ada", version=1, mode="history")
    await training.stay(stay, "2026-03-05", "2026-03-06", "2026-03-09", version=2)
    assert await list_assignments(training) == []
    await training.stay(stay, "2026-03-10", version=3, mode="live")
    assert await list_assignments(training) == [("still", "stayed", "assigned")]


async def test_who_fails_is_assigned_another_training_once(training) -> None:
    quiz = training.rule("quiz", template="silence-quiz")
    again = training.rule("again", trigger="failed", of="silence-quiz")
    await training.blueprint(quiz, again)
    await training.enter("ada")
    assignment = (await training.only())["id"]
    await training.post("ada", f"/assignments/{assignment}/start")
    for _ in range(3):
        await training.post("ada", f"/assignments/{assignment}/complete", {"answers": training.WRONG})
    assert sorted(await list_assignments(training)) == [("again", "failed", "assigned"), ("quiz", "entered", "failed")]
    followed = next(row for row in await training.assignments() if row["rule"] == "again")
    assert (followed["follows"], followed["kpi"], followed["band"]) == (assignment, "silence_pct", "coach")
    assigned_events = [each for each in await training.h.read_events(AssignmentAssigned) if each.rule == "again"]
    assert [(each.trigger, str(each.follows)) for each in assigned_events] == [("failed", assignment)]


async def test_who_is_overdue_is_assigned_a_task_that_is_withdrawn_with_the_stay(training) -> None:
    task = {"template": "talk", "kind": "task", "title": {"en": "Talk to your lead"}, "body": {"en": "Find a time."}}
    reading = {"template": "silence-basics", **training.READING}
    late = training.rule("late", trigger="overdue", template="talk")
    await training.blueprint(training.rule(), late, templates=[reading, task])
    stay = await training.enter("ada")
    await training.people("acme", simulated=False)
    training.now += timedelta(days=8)
    for _ in range(2):
        await training.h.tick(training.now)
    assert sorted(await list_assignments(training)) == [
        ("late", "overdue", "assigned"),
        ("silence-coach", "entered", "assigned"),
    ]
    await training.leave(stay)
    assert sorted(await list_assignments(training)) == [
        ("late", "overdue", "withdrawn"),
        ("silence-coach", "entered", "withdrawn"),
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"trigger": "stayed"}, "`windows`"),
        ({"windows": 3}, "`windows`"),
        ({"of": "silence-quiz"}, "`of`"),
        ({"trigger": "failed", "kpi": None}, "`kpi` and `band`"),
        ({"trigger": "failed", "kpi": None, "band": None}, "`of`"),
        ({"kpi": None, "band": None}, "`kpi` and `band`"),
        ({"trigger": "failed", "of": "silence-quizz"}, "there is no template `silence-quizz`"),
    ],
)
async def test_a_rule_that_says_too_little_or_too_much_is_refused(training, fields, problem) -> None:
    await training.blueprint()
    answer = await training.h.client_as("tom", "acme").put("/rules/r", json={**training.rule("r"), **fields})
    assert answer.status_code == 422
    assert problem in str(answer.json()["errors"])
