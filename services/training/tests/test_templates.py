"""Templates and rules: drafts, versions, blueprints; quizzes; effect."""

from datetime import timedelta

from contracts.assignments import AssignmentCompleted
from contracts.blueprints import SectionApplied, SectionRejected
from testkit.fixtures.mongodb import both_stores


async def test_a_draft_becomes_an_immutable_version(training):
    tom = training.h.client_as("tom", "acme")
    draft = (await tom.put("/templates/silence", json=training.READING)).json()
    assert (draft["status"], draft["version"], draft["draft"]) == ("draft", None, True)
    published = (await tom.post("/templates/silence/publish")).json()
    assert (published["status"], published["version"], published["draft"]) == ("published", 1, False)
    assert (await tom.post("/templates/silence/publish")).status_code == 409

    again = (await tom.put("/templates/silence", json=training.READING)).json()
    assert again["draft"] is False  # nothing was changed
    await tom.put("/templates/silence", json={**training.READING, "minutes": 5})
    assert (await tom.post("/templates/silence/publish")).json()["version"] == 2
    first = (await tom.get("/templates/silence/versions/1")).json()
    assert first["content"]["minutes"] is None
    assert (await tom.get("/templates/silence/versions/3")).status_code == 404
    assert (await tom.get("/templates/none")).status_code == 404


async def test_publishing_at_a_time_publishes_what_was_scheduled(training):
    await training.people("acme", simulated=False)
    tom = training.h.client_as("tom", "acme")
    await tom.put("/templates/silence", json=training.READING)
    far = "2099-01-01T09:00:00+01:00"
    scheduled = (await tom.post("/templates/silence/publish", json={"at": far})).json()
    assert (scheduled["status"], scheduled["version"]) == ("scheduled", None)
    await tom.put("/templates/silence", json={**training.READING, "minutes": 9})

    due = training.now.replace(year=2099, month=1, day=1)
    await training.h.tick(due - timedelta(minutes=1))
    assert (await tom.get("/templates/silence")).json()["version"] is None
    await training.h.tick(due + timedelta(minutes=1))
    head = (await tom.get("/templates/silence")).json()
    assert (head["version"], head["draft"], head["scheduled_at"]) == (1, True, None)
    assert (await tom.get("/templates/silence/versions/1")).json()["content"]["minutes"] is None
    (answer,) = await training.h.read_events(SectionApplied)
    assert answer.version is None
    assert [each["template"] for each in answer.content["templates"]] == ["silence"]


async def test_a_scheduled_publication_can_be_taken_back_and_needs_a_zone(training):
    await training.people("acme", simulated=False)
    tom = training.h.client_as("tom", "acme")
    await tom.put("/templates/silence", json=training.READING)
    assert (await tom.post("/templates/silence/publish", json={"at": "2099-01-01T09:00:00"})).status_code == 422
    await tom.post("/templates/silence/publish", json={"at": "2099-01-01T09:00:00Z"})
    assert (await tom.delete("/templates/silence/publish")).json()["status"] == "draft"
    await training.h.tick(training.now.replace(year=2100))
    assert (await tom.get("/templates/silence")).json()["version"] is None


async def test_learners_stay_on_the_version_they_started(training):
    await training.blueprint(training.rule())
    await training.enter("ada")
    await training.enter("ben")
    (of_ada,) = await training.assignments(agent="ada")
    (of_ben,) = await training.assignments(agent="ben")
    await training.post("ada", f"/assignments/{of_ada['id']}/start")
    tom = training.h.client_as("tom", "acme")
    await tom.put("/templates/silence-basics", json={**training.READING, "title": {"en": "Second edition"}})
    await tom.post("/templates/silence-basics/publish")

    assert (await training.finish("ada", of_ada["id"]))["template_version"] == 1
    started = await training.post("ben", f"/assignments/{of_ben['id']}/start")
    assert (started["template_version"], started["title"]) == (2, {"en": "Second edition"})


@both_stores
async def test_a_quiz_is_scored_on_the_server_and_never_shows_its_answers(training):
    await training.blueprint(training.rule(template="silence-quiz"))
    await training.enter("ada")
    mine = (await training.only())["id"]
    shown = await training.h.client_as("ada", "acme").get(f"/assignments/{mine}")
    assert "correct" not in shown.text
    question = shown.json()["content"]["quiz"]["questions"][0]
    assert question == {
        "id": "hold", "kind": "single", "text": "搜索之前？", "points": 4,
        "choices": [{"id": "announce", "text": "先说明"}, {"id": "wait", "text": "等待"}],
    }  # fmt: skip

    first = await training.finish("ada", mine, training.WRONG)
    assert (first["status"], first["attempts"], first["score_percent"], first["passed"]) == ("started", 1, 20, False)
    path = f"/assignments/{mine}/complete"
    await training.post("ada", path, {"answers": {"hold": ["nothing"]}}, status=422)
    assert await training.h.read_events(AssignmentCompleted) == []
    second = await training.post("ada", path, {"answers": training.RIGHT})
    assert (second["status"], second["attempts"], second["score_percent"]) == ("completed", 2, 100)
    assert (await training.post("ada", path, {"answers": training.WRONG}))["attempts"] == 2
    (event,) = await training.h.read_events(AssignmentCompleted)
    assert (event.score_percent, event.passed) == (100, True)
    results = (await training.h.client_as("lea", "acme").get(f"/assignments/{mine}")).json()["results"]
    assert [each["score_percent"] for each in results] == [20, 100]


async def test_the_last_attempt_fails_the_quiz(training):
    await training.blueprint(training.rule(template="silence-quiz"))
    await training.enter("ada")
    mine = (await training.only())["id"]
    await training.finish("ada", mine, training.WRONG)
    last = await training.post("ada", f"/assignments/{mine}/complete", {"answers": {}})
    assert (last["status"], last["passed"], last["score_percent"]) == ("failed", False, 0)
    (event,) = await training.h.read_events(AssignmentCompleted)
    assert event.passed is False


async def test_who_may_read_and_edit_templates(training):
    await training.blueprint(training.rule())
    for who, reads, edits in (("ada", 403, 403), ("lea", 200, 403), ("tom", 200, 200), ("ann", 200, 200)):
        client = training.h.client_as(who, "acme")
        for path in ("/templates", "/templates/silence-quiz", "/rules", "/rules/silence-coach"):
            assert (await client.get(path)).status_code == reads, (who, path)
        assert (await client.get("/templates/silence-quiz/effect")).status_code == reads
        assert (await client.put("/templates/own", json=training.READING)).status_code == edits
        assert (await client.put("/rules/silence-coach", json=training.rule(due_days=9))).status_code == edits
        answers = (await client.get("/templates/silence-quiz/versions/1")).text
        assert ("correct" in answers) == (edits == 200)
    assert (await training.h.client_as("tom", "acme").get("/rules/none")).status_code == 404


async def test_a_blueprint_is_applied_whole_and_answered(training):
    await training.blueprint(training.rule())
    answers = await training.h.read_events(SectionApplied)
    assert [(each.service, each.version) for each in answers] == [("training", 1)]
    content = answers[0].content
    assert [each["template"] for each in content["templates"]] == ["silence-basics", "silence-quiz"]
    assert content["rules"][0]["due_days"] == 7

    # An exported section can be applied again, and makes no new versions.
    await training.blueprint(*content["rules"], templates=content["templates"])
    tom = training.h.client_as("tom", "acme")
    assert [each["version"] for each in (await tom.get("/templates")).json()["items"]] == [1, 1]

    # A template that the section lacks is archived, a rule is deleted. Open assignments stay.
    await training.enter("ada")
    await training.blueprint(templates=[{"template": "silence-quiz", **training.QUIZ}])
    states = {each["template"]: each["status"] for each in (await tom.get("/templates")).json()["items"]}
    assert states == {"silence-basics": "retired", "silence-quiz": "published"}
    assert (await tom.get("/rules")).json()["items"] == []
    mine = (await training.only())["id"]
    assert (await training.finish("ada", mine))["status"] == "completed"


async def test_references_of_an_applied_section_point_into_its_content(training):
    await training.blueprint(training.rule(rule="z", kpi="first"), training.rule(rule="a", kpi="second"))
    (applied,) = await training.h.read_events(SectionApplied)
    kpis = {f"/rules/{index}/kpi": rule["kpi"] for index, rule in enumerate(applied.content["rules"])}
    assert {each.pointer: each.name for each in applied.named if each.kind == "KPI"} == kpis


async def test_a_bad_section_changes_nothing_and_says_why(training):
    await training.blueprint(training.rule())
    await training.blueprint(training.rule(template="none", due_days=0))
    (rejected,) = await training.h.read_events(SectionRejected)
    assert rejected.version == 2
    assert [each.pointer for each in rejected.problems] == ["/rules/0/due_days"]
    await training.blueprint(training.rule(template="none"))
    problem = (await training.h.read_events(SectionRejected))[-1].problems[0]
    assert (problem.pointer, problem.cure) == ("/rules/0/template", "one of: silence-basics, silence-quiz")
    answer = await training.h.client_as("tom", "acme").get("/rules")
    assert answer.json()["items"][0]["template"] == "silence-basics"


async def test_an_old_blueprint_that_comes_again_does_not_undo_an_edit(training):
    await training.blueprint(training.rule())
    await training.blueprint(training.rule())
    tom = training.h.client_as("tom", "acme")
    await tom.put("/rules", json={"rules": [training.rule("mine")]})
    training.blueprint_version = 0
    await training.blueprint(training.rule())
    assert [each["rule"] for each in (await tom.get("/rules")).json()["items"]] == ["mine"]
    last = (await training.h.read_events(SectionApplied))[-1]
    assert (last.version, [each["rule"] for each in last.content["rules"]]) == (None, ["mine"])


async def test_wrong_rules_are_refused_with_their_place(training):
    await training.blueprint(training.rule())
    tom = training.h.client_as("tom", "acme")
    answer = await tom.put(
        "/rules", json={"rules": [training.rule("a"), training.rule("a"), training.rule("b", template="none")]}
    )
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/rules/1/rule", "/rules/2/template"]
    assert (await tom.put("/rules/other", json=training.rule("a"))).status_code == 422
    assert [each["rule"] for each in (await tom.get("/rules")).json()["items"]] == ["silence-coach"]


@both_stores
async def test_what_is_no_longer_scheduled_is_discarded(training):
    await training.people("acme", simulated=False)
    tom = training.h.client_as("tom", "acme")
    at = {"at": "2999-01-01T09:00:00Z"}
    for minutes in (1, 2):  # the second publication takes the place of the first
        await tom.put("/templates/silence", json={**training.READING, "minutes": minutes})
        assert (await tom.post("/templates/silence/publish", json=at)).status_code == 200
    await tom.put("/templates/silence", json={**training.READING, "minutes": 3})
    documents = training.h.context.documents

    async def left():
        return sorted(each.body["minutes"] for each in await documents.find("acme", "templates", {}))

    await training.h.tick(training.now.replace(year=2100))
    assert await left() == [2, 3]
    assert (await tom.delete("/templates/silence/publish")).status_code == 200
    await training.h.tick(training.now.replace(year=2200))
    assert await left() == [3]


@both_stores
async def test_unused_documents_are_swept_and_used_ones_stay(training):
    await training.people("acme", simulated=False)
    tom = training.h.client_as("tom", "acme")
    for minutes in (1, 2, 3):
        await tom.put("/templates/silence", json={**training.READING, "minutes": minutes})
    await tom.post("/templates/silence/publish")
    await tom.put("/templates/silence", json={**training.READING, "minutes": 4})
    documents = training.h.context.documents
    assert len(await documents.find("acme", "templates", {})) == 4
    await training.h.tick(training.now.replace(year=2100))
    assert len(await documents.find("acme", "templates", {})) == 2
    assert await training.h.rows("acme", "SELECT count(*) AS n FROM content") == [{"n": 2}]
    assert (await tom.get("/templates/silence/versions/1")).json()["content"]["minutes"] == 3
    assert (await tom.get("/templates/silence")).json()["content"]["minutes"] == 4


async def test_effect_counts_who_is_in_the_band_trained_and_not(training):
    await training.blueprint(training.rule())
    ada = await training.enter("ada", "2026-02-16", mode="history")
    await training.leave(ada, "2026-02-17", mode="history")
    ada = await training.enter("ada", "2026-02-18")
    ben = await training.enter("ben", "2026-02-18")
    cem = await training.enter("cem", "2026-02-18")
    await training.correct(cem, "entered")
    (mine,) = await training.assignments(agent="ada")
    await training.finish("ada", mine["id"])  # on 4 March
    later = training.now + timedelta(days=14)
    await training.people("acme", simulated=True, clock=later)
    training.now = later
    await training.leave(ada, "2026-03-10")
    await training.enter("ada", "2026-03-10", band="watch")

    async def effect(who):
        path = "/templates/silence-basics/effect"
        answer = await training.h.client_as(who, "acme").get(path, params={"from": "2026-02-16", "to": "2026-03-18"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    found = await effect("tom")
    assert found["bands"] == [{"kpi": "silence_pct", "band": "coach"}]
    shares = [(each["window"], each["trained"]["share"], each["untrained"]["share"]) for each in found["weeks"]]
    assert shares == [
        ("2026-W08", None, 1.0),
        ("2026-W09", None, 1.0),
        ("2026-W10", 1.0, 1.0),
        ("2026-W11", 0.0, 1.0),
        ("2026-W12", 0.0, 1.0),
    ]
    (agent,) = found["agents"]
    assert agent["in_band"] == {"-2": True, "-1": True, "0": True, "1": False, "2": False}
    assert "regression to the mean" in found["note"]
    assert found["simulated"] is True
    assert "what the simulation put in" in found["simulation_note"]

    await training.people("acme")
    of_a_real_tenant = await effect("lea")
    assert (of_a_real_tenant["simulated"], of_a_real_tenant["simulation_note"]) == (False, None)
    assert ben.kpi == "silence_pct"
