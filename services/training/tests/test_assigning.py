"""Bands in, assignments out."""

from datetime import timedelta
from uuid import UUID

from contracts import new_id
from contracts.assignments import (
    AssignmentAssigned,
    AssignmentCompleted,
    AssignmentOverdue,
    AssignmentStarted,
    AssignmentWithdrawn,
)
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandLeft
from testkit import person_id, stable_ids


async def skipped(training, **query):
    answer = await training.h.client_as("tom", "acme").get("/skipped", params=query)
    return [(each["agent"], each["rule"], each["reason"]) for each in answer.json()["items"]]


async def test_entering_a_band_assigns_the_training_once_with_its_evidence(training):
    await training.blueprint(training.rule())
    stay = await training.enter("ada")

    assignment = await training.only()
    assert (assignment["agent"], assignment["status"], assignment["template_version"]) == ("ada", "assigned", 1)
    assert assignment["due_at"] == "2026-03-11T08:00:00Z"
    (event,) = await training.h.read_events(AssignmentAssigned)
    assert event.assignment_id == UUID(assignment["id"])
    assert (event.rule, event.kpi, event.band) == ("silence-coach", "silence_pct", "coach")
    assert event.band_event_id == stay.band_event_id
    assert event.title["zh"] == "减少静默"

    detail = (await training.h.client_as("ada", "acme").get(f"/assignments/{assignment['id']}")).json()
    assert detail["content"]["title"] == "减少静默"
    assert detail["evidence"]["model_version"] == 3
    assert detail["evidence"]["windows"] == [
        {"window": "2026-03-04", "value": "65.3846", "sample": 25, "band": "coach"}
    ]
    assert detail["evidence"]["rule"]["due_days"] == 7


async def test_other_bands_inactive_rules_and_history_give_nothing(training):
    await training.blueprint(training.rule(), training.rule("off", band="critical", active=False))
    await training.enter("ada", band="watch")
    await training.enter("ada", band="critical")
    await training.enter("ben", mode="history")
    assert await training.assignments() == []
    assert await skipped(training) == []
    assert await training.h.rows("acme", "SELECT 1 FROM band_stay WHERE tenant = 'acme'") != []


async def test_history_neither_withdraws_nor_assigns_again(training):
    await training.blueprint(training.rule())
    ada, ben, cem = [await training.enter(who) for who in ("ada", "ben", "cem")]
    await training.leave(ada, mode="history")
    await training.correct(ben, "entered", mode="history")
    await training.leave(cem)
    await training.correct(cem, "left", mode="history")
    found = {each["agent"]: each["status"] for each in await training.assignments()}
    assert found == {"ada": "assigned", "ben": "assigned", "cem": "withdrawn"}
    assert len(await training.h.read_events(AssignmentWithdrawn)) == 1


async def test_cooldown_and_cap_hold_back_and_say_so(training):
    await training.blueprint(
        training.rule("basics", cooldown_days=30),
        training.rule("quiz", template="silence-quiz", max_open=1, priority=-1),
        training.rule("absent", band="critical", template="silence-quiz", max_open=1),
    )
    await training.enter("ada")
    assert [each["rule"] for each in await training.assignments()] == ["basics"]
    assert await skipped(training) == [("ada", "quiz", "max-open")]

    await training.finish("ada", (await training.only())["id"])
    training.now += timedelta(days=10)
    await training.enter("ada", "2026-03-14")
    assert await skipped(training, rule="basics") == [("ada", "basics", "cooldown")]
    assert [each["rule"] for each in await training.assignments(status="assigned")] == ["quiz"]


async def test_an_unpublished_template_is_skipped_with_its_reason(training):
    await training.blueprint(training.rule())
    tom = training.h.client_as("tom", "acme")
    await tom.put("/templates/new", json={"kind": "reading", "title": {"en": "N"}, "body": {"en": "B"}})
    assert (await tom.put("/rules/new", json=training.rule("new", template="new", priority=9))).status_code == 200
    await training.enter("ada")
    assert await skipped(training) == [("ada", "new", "template-not-published")]


async def test_leaving_the_band_withdraws_what_is_not_started(training):
    await training.blueprint(training.rule())
    ada, ben = await training.enter("ada"), await training.enter("ben")
    (of_ben,) = await training.assignments(agent="ben")
    await training.post("ben", f"/assignments/{of_ben['id']}/start")
    await training.leave(ada)
    await training.leave(ben)
    assert [each["status"] for each in await training.assignments(agent="ada")] == ["withdrawn"]
    assert [each["status"] for each in await training.assignments(agent="ben")] == ["started"]
    (event,) = await training.h.read_events(AssignmentWithdrawn)
    assert event.agent_id == person_id("ada")
    assert "left" in event.reason


async def test_a_rule_may_leave_its_training_when_the_band_is_left(training):
    await training.blueprint(training.rule(withdraw_when_left=False))
    stay = await training.enter("ada")
    await training.leave(stay)
    assert (await training.only())["status"] == "assigned"
    await training.correct(stay, "entered")
    assert (await training.only())["status"] == "withdrawn"


async def test_a_corrected_stay_withdraws_and_starts_no_cooldown(training):
    await training.blueprint(training.rule(cooldown_days=30))
    stay = await training.enter("ada")
    await training.correct(stay, "entered")
    withdrawn = await training.only()
    assert withdrawn["status"] == "withdrawn"
    assert withdrawn["withdrawn_reason"] == {
        "code": "band_corrected",
        "values": {},
        "text": {"en": "the band was corrected", "zh": "所处区间已更正"},
    }
    await training.enter("ada")
    assert sorted(each["status"] for each in await training.assignments()) == ["assigned", "withdrawn"]


async def test_a_stay_corrected_before_its_event_assigns_nothing(training):
    await training.blueprint(training.rule())
    stay = await training.enter("ada", mode="history")
    await training.correct(stay, "entered")
    await training.enter("ada", band_event_id=stay.band_event_id)
    assert await training.assignments() == []


async def test_a_retracted_leaving_assigns_the_training_again_and_leaves_started_ones(training):
    await training.blueprint(training.rule())
    ada, ben = await training.enter("ada"), await training.enter("ben")
    (of_ben,) = await training.assignments(agent="ben")
    await training.post("ben", f"/assignments/{of_ben['id']}/start")
    for stay in (ada, ben):
        await training.leave(stay)
    training.now += timedelta(days=1)
    for stay in (ada, ben):
        await training.correct(stay, "left")
    (again,) = await training.assignments(agent="ada")
    assert (again["status"], again["due_at"]) == ("assigned", "2026-03-12T08:00:00Z")
    assert (await training.assignments(agent="ben"))[0]["status"] == "started"
    assert len(await training.h.read_events(AssignmentAssigned)) == 3


async def test_events_of_a_whole_stay_that_come_again_later_change_nothing(training):
    await training.blueprint(training.rule())
    stay = await training.enter("ada")
    base = stay.model_dump(exclude={"from_band", "from_rank"})
    story = [
        BandLeft(**base, to_band="watch"),
        BandCorrected(**base, retracts="left"),
        BandLeft(**base, to_band="good"),
    ]
    ids = stable_ids("left", "corrected", "left again")
    await training.h.deliver(*story, tenant="acme", at=training.now, ids=ids)
    before = await training.h.read_outbox()
    await training.h.deliver(*story, tenant="acme", at=training.now, ids=ids)
    assert len(await training.h.read_outbox()) == len(before)
    assert (await training.only())["status"] == "withdrawn"


async def test_what_is_not_completed_in_time_is_overdue_once(training):
    await training.blueprint(training.rule())
    await training.enter("ada")
    await training.enter("ben")
    for who in ("ben",):
        (mine,) = await training.assignments(agent=who)
        await training.finish(who, mine["id"])
    await training.people("acme", simulated=False)
    await training.h.tick(training.now + timedelta(days=6))
    assert await training.h.read_events(AssignmentOverdue) == []
    await training.h.tick(training.now + timedelta(days=8))
    await training.h.tick(training.now + timedelta(days=9))
    (event,) = await training.h.read_events(AssignmentOverdue)
    assert event.agent_id == person_id("ada")
    assert [each["agent"] for each in await training.assignments(overdue=True)] == ["ada"]
    (mine,) = await training.assignments(agent="ada")
    assert (await training.finish("ada", mine["id"]))["overdue"] is False


async def test_a_reading_is_started_and_completed_by_its_learner_and_again_changes_nothing(training):
    await training.blueprint(training.rule())
    await training.enter("ada")
    mine = (await training.only())["id"]
    for who in ("ben", "lea", "tom", "ann"):
        for step in ("start", "complete"):
            await training.post(who, f"/assignments/{mine}/{step}", status=403)
    await training.post("ada", f"/assignments/{mine}/complete", status=409)
    for _ in range(2):
        assert (await training.finish("ada", mine))["status"] == "completed"
    assert len(await training.h.read_events(AssignmentStarted)) == 1
    (event,) = await training.h.read_events(AssignmentCompleted)
    assert (event.passed, event.score_percent) == (True, None)


async def test_a_withdrawn_assignment_cannot_be_started(training):
    await training.blueprint(training.rule())
    await training.leave(await training.enter("ada"))
    mine = (await training.only())["id"]
    for step in ("start", "complete"):
        refused = await training.post("ada", f"/assignments/{mine}/{step}", status=409)
        assert refused["type"] == "urn:uplift:problem:withdrawn"


async def test_only_permitted_roles_assign_by_hand(training):
    await training.blueprint()
    body = {"agent": "ada", "template": "silence-basics", "due_days": 3}
    await training.post("ada", "/assignments", body, status=403)
    await training.post("lea", "/assignments", {**body, "agent": "cem"}, status=403)
    assignment = await training.post("lea", "/assignments", body, status=201)
    assert (assignment["rule"], assignment["due_at"]) == (None, "2026-03-07T08:00:00Z")
    assert (await training.post("tom", "/assignments", body, status=409))["type"].endswith("already-open")
    await training.post("tom", "/assignments", {**body, "agent": "nobody"}, status=404)
    await training.post("tom", "/assignments", {**body, "template": "none"}, status=404)
    await training.post("tom", "/assignments", {**body, "due_at": "2026-03-07T08:00:00Z"}, status=422)
    (event,) = await training.h.read_events(AssignmentAssigned)
    assert (event.rule, event.band_event_id) == (None, None)


async def test_an_idempotency_key_creates_one_assignment(training):
    await training.blueprint()
    body = {"agent": "ada", "template": "silence-basics"}
    tom = training.h.client_as("tom", "acme")
    answers = [await tom.post("/assignments", json=body, headers={"idempotency-key": "k"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len(await training.assignments()) == 1


async def test_people_see_their_own_and_leads_their_teams(training):
    await training.blueprint(training.rule())
    for who in ("ada", "ben", "cem"):
        await training.enter(who)

    async def seen(who, **query):
        return sorted(each["agent"] for each in await training.assignments(who, **query))

    assert await seen("ada") == ["ada"]
    assert await seen("lea") == ["ada", "ben"]
    assert await seen("tom") == ["ada", "ben", "cem"]
    assert await seen("tom", team="team-b") == ["cem"]
    assert await seen("lea", team="team-b") == []
    (of_cem,) = await training.assignments(agent="cem")
    assert (await training.h.client_as("lea", "acme").get(f"/assignments/{of_cem['id']}")).status_code == 403
    assert (await training.h.client_as("ada", "acme").get("/assignments", params={"agent": "ben"})).status_code == 403
    assert (await training.h.client(None).get("/assignments")).status_code == 401


async def test_lists_page_by_cursor(training):
    await training.blueprint(training.rule())
    for who in ("ada", "ben", "cem"):
        await training.enter(who)
        await training.enter(who)
    tom = training.h.client_as("tom", "acme")
    for path, total in (("/assignments", 3), ("/skipped", 3), ("/templates", 2)):
        found, after = [], None
        while True:
            page = (await tom.get(path, params={"limit": 1} | ({"after": after} if after else {}))).json()
            found += page["items"]
            if (after := page["next"]) is None:
                break
        assert len({str(item) for item in found}) == len(found) == total


async def test_two_tenants_with_the_same_ids_do_not_meet(training):
    await training.people("other")
    await training.blueprint(training.rule())
    await training.blueprint(training.rule("theirs"), tenant="other")
    stay = await training.enter("ada")
    await training.enter("ada", tenant="other", band_event_id=stay.band_event_id)
    assert [each["rule"] for each in await training.assignments()] == ["silence-coach"]
    (theirs,) = await training.assignments(tenant="other")
    assert theirs["rule"] == "theirs"
    assert (await training.h.client_as("tom", "acme").get(f"/assignments/{theirs['id']}")).status_code == 404
    await training.correct(stay, "entered", tenant="other")
    assert (await training.only())["status"] == "assigned"


async def test_a_cursor_of_another_list_is_refused(training):
    await training.blueprint(training.rule())
    await training.enter("ada")
    await training.enter("ben")
    tom = training.h.client_as("tom", "acme")
    cursor = (await tom.get("/assignments", params={"limit": 1})).json()["next"]
    for path in ("/skipped", "/templates"):
        assert (await tom.get(path, params={"after": cursor})).status_code == 422


async def test_a_blueprint_that_comes_again_does_not_undo_an_edit_but_one_sent_again_does(training):
    tom = training.h.client_as("tom", "acme")
    section = {"templates": [{"template": "silence-basics", **training.READING}], "rules": [training.rule()]}
    body = BlueprintPublished(version=1, sections={"training": section})
    first, again = new_id(), new_id()
    await training.h.deliver(body, tenant="acme", ids=[first])
    assert (await tom.put("/rules", json={"rules": []})).status_code == 200
    await training.h.deliver(body, tenant="acme", ids=[first])
    assert (await tom.get("/rules")).json()["items"] == []
    await training.h.deliver(body, tenant="acme", ids=[again])
    assert [each["rule"] for each in (await tom.get("/rules")).json()["items"]] == ["silence-coach"]
