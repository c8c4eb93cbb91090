"""The service through its API and its consumers, on a real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from contracts.blueprints import BlueprintPublished, SectionApplied, SectionRejected
from contracts.submissions import FormPublished, SubmissionScored, SubmissionSubmitted
from storage import Document
from testkit import org_unit, parse_instant, person_id, tenant
from testkit.fixtures.mongodb import both_stores

FULL = {"greeting": "partly", "complaint": True, "apology": "yes", "solution": 4, "empathy": "yes", "remarks": "ok"}
PATH = "/forms/call-review/submissions"


def about(slug, answers=FULL, **fields):
    return {"agent_id": str(person_id(slug)), "answers": answers, **fields}


@both_stores
async def test_a_draft_is_published_once(forms, call_review):
    quinn, ada = forms.client_as("quinn", "t1"), forms.client_as("ada", "t1")
    drafted = (await quinn.put("/forms/call-review", json=call_review)).json()
    assert (drafted["status"], drafted["version"], drafted["changed"]) == ("draft", None, True)
    assert (await ada.get("/forms")).json()["items"] == []
    assert (await ada.get("/forms/call-review")).status_code == 404

    first = (await quinn.post("/forms/call-review/publish")).json()
    again = (await quinn.post("/forms/call-review/publish")).json()
    await quinn.put("/forms/call-review", json=call_review)
    third = (await quinn.post("/forms/call-review/publish")).json()
    assert [each["version"] for each in (first, again, third)] == [1, 1, 1]
    assert [(each.form, each.version) for each in await forms.read_events(FormPublished)] == [("call-review", 1)]

    changed = call_review | {"title": {"en": "Call check"}}
    assert (await quinn.put("/forms/call-review", json=changed)).json()["changed"] is True
    assert (await ada.get("/forms/call-review")).json()["definition"]["title"]["en"] == "Call review"
    assert (await quinn.post("/forms/call-review/publish")).json()["version"] == 2
    versions = (await ada.get("/forms/call-review/versions")).json()["items"]
    assert [each["version"] for each in versions] == [2, 1]
    old = (await ada.get("/forms/call-review/versions/1")).json()
    assert old["definition"]["title"]["en"] == "Call review"
    assert (await ada.get("/forms/call-review/versions/3")).status_code == 404
    applied = await forms.read_events(SectionApplied)
    assert [(each.version, each.content["forms"][0]["title"]["en"]) for each in applied] == [
        (None, "Call review"),
        (None, "Call check"),
    ]


async def test_an_invalid_form_is_refused_with_pointers(forms, call_review):
    quinn = forms.client_as("quinn", "t1")
    call_review["schema"]["properties"]["greeting"]["pattern"] = r"(?=x)"
    answer = await quinn.put("/forms/call-review", json=call_review)
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/schema/properties/greeting/pattern"]
    assert (await quinn.put("/forms/other", json=call_review)).status_code == 422
    assert (await forms.client_as("lea", "t1").put("/forms/call-review", json=call_review)).status_code == 403


@both_stores
async def test_a_scored_submission_has_a_result_by_section(published):
    lea = published.client_as("lea", "t1")
    made = await lea.post(PATH, json=about("ada", notes="well done", interaction_id=str(uuid4())))
    assert made.status_code == 201
    body = made.json()
    assert (body["score"], body["version"], body["notes"]) == (7969, 1, "well done")
    assert [each["score"] for each in body["result"]["sections"]] == [7500, 8125]
    (event,) = await published.read_events(SubmissionScored)
    assert (event.agent_id, event.score, event.version, event.void) == (person_id("ada"), 7969, 1, False)
    assert event.sections == {"opening": 7500, "service": 8125}
    assert "remarks" not in event.answers
    assert (body["agent_id"], body["agent"], body["name"]) == (str(person_id("ada")), "ada", "Ada")
    assert (await lea.get(f"{PATH}/{body['id']}")).json() == body


async def test_a_submission_names_the_leg_that_it_evaluates(published):
    lea, call = published.client_as("lea", "t1"), uuid4()
    body = (await lea.post(PATH, json=about("ada", interaction_id=str(call), leg=2))).json()
    assert (body["interaction_id"], body["leg"]) == (str(call), 2)
    (event,) = await published.read_events(SubmissionScored)
    assert (event.interaction_id, event.leg) == (call, 2)
    refused = await lea.post(PATH, json=about("ada", leg=2))
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/leg")


async def test_the_agent_is_named_by_slug_or_id(published):
    lea = published.client_as("lea", "t1")
    by_slug = {name: value for name, value in about("ada").items() if name != "agent_id"} | {"agent": "ada"}
    assert (await lea.post(PATH, json=by_slug)).json()["agent_id"] == str(person_id("ada"))
    assert (await lea.post(PATH, json=by_slug | {"agent_id": str(person_id("ben"))})).status_code == 422
    assert (await lea.post(PATH, json=by_slug | {"agent": "ben"})).status_code == 403
    for query, found in (
        ("agent=ada", ["ada"]),
        (f"agent={person_id('ada')}", ["ada"]),
        ("team=a", ["ada"]),
        ("team=b", []),
    ):
        items = (await lea.get(f"{PATH}?{query}")).json()["items"]
        assert [each["agent"] for each in items] == found


async def test_a_correction_is_a_new_version_and_deleting_voids(published):
    lea, quinn, adam = (published.client_as(who, "t1") for who in ("lea", "quinn", "adam"))
    one = (await lea.post(PATH, json=about("ada"))).json()
    address = f"{PATH}/{one['id']}"
    better = {"answers": FULL | {"greeting": "yes"}}
    assert (await quinn.put(address, json=better)).status_code == 403
    two = (await lea.put(address, json=better)).json()
    assert (two["version"], two["score"]) == (2, 8594)  # (100 + 3 × 81.25) / 4
    assert (await lea.put(address, json=better)).json()["version"] == 2
    three = (await adam.put(address, json={"answers": FULL | {"empathy": "rude"}})).json()
    assert (three["score"], three["automatic_fail"]) == (0, True)
    assert [each["by"] for each in three["history"]] == [str(person_id(who)) for who in ("lea", "lea", "adam")]
    assert (await lea.delete(address)).status_code == 204
    assert (await lea.delete(address)).status_code == 204
    assert (await lea.put(address, json=better)).status_code == 409
    assert (await lea.get(PATH)).json()["items"] == []
    found = await published.read_events(SubmissionScored)
    assert [(each.version, each.score, each.void) for each in found] == [
        (1, 7969, False), (2, 8594, False), (3, 0, False), (4, 0, True),
    ]  # fmt: skip
    assert len({each.workday for each in found}) == 1


async def test_invalid_answers_are_refused_with_pointers_and_cures(published):
    lea = published.client_as("lea", "t1")
    answer = await lea.post(PATH, json=about("ada", {"greeting": "perhaps", "solution": 9, "weather": "fine"}))
    assert answer.status_code == 422
    assert {each["pointer"]: bool(each["cure"]) for each in answer.json()["errors"]} == {
        "/answers/greeting": True, "/answers/solution": True, "/answers/weather": True, "/answers/complaint": True,
        "/answers/empathy": True,
    }  # fmt: skip
    assert await published.read_events(SubmissionScored) == []


async def test_submissions_are_pinned_to_their_form_version(published, call_review):
    quinn = published.client_as("quinn", "t1")
    one = (await quinn.post(PATH, json=about("ada"))).json()
    call_review["scoring"]["questions"]["greeting"]["points"]["partly"] = 10
    await quinn.put("/forms/call-review", json=call_review)
    await quinn.post("/forms/call-review/publish")
    two = (await quinn.post(PATH, json=about("ada"))).json()
    old = (await quinn.post(PATH, json=about("ada", version=1))).json()
    assert [(each["form_version"], each["score"]) for each in (one, two, old)] == [(1, 7969), (2, 8594), (1, 7969)]
    corrected = (await quinn.put(f"{PATH}/{one['id']}", json={"answers": FULL | {"remarks": "x"}})).json()
    assert (corrected["form_version"], corrected["score"]) == (1, 7969)


async def test_rights_to_read_and_submit(published):
    clients = {who: published.client_as(who, "t1") for who in ("ada", "ben", "lea", "quinn")}
    assert (await clients["lea"].post(PATH, json=about("ben"))).status_code == 403
    assert (await clients["ada"].post(PATH, json=about("ada"))).status_code == 403
    assert (await clients["ada"].post(PATH, json=about("ben"))).status_code == 403
    assert (await clients["lea"].post(PATH, json=about("lea"))).status_code == 403
    assert (await clients["quinn"].post(PATH, json={"answers": FULL})).status_code == 422
    assert (await clients["quinn"].post(PATH, json=about("nobody"))).status_code == 422
    ids = {who: (await clients["quinn"].post(PATH, json=about(who))).json()["id"] for who in ("ada", "ben")}
    seen = {
        who: {about for about, id in ids.items() if (await client.get(f"{PATH}/{id}")).status_code == 200}
        for who, client in clients.items()
    }
    listed = {who: len((await client.get(PATH)).json()["items"]) for who, client in clients.items()}
    assert seen == {"ada": {"ada"}, "ben": {"ben"}, "lea": {"ada"}, "quinn": {"ada", "ben"}}
    assert listed == {"ada": 1, "ben": 1, "lea": 1, "quinn": 2}
    assert len((await clients["quinn"].get(PATH, params={"agent": "ben"})).json()["items"]) == 1


async def test_agents_fill_in_their_own_quiz_and_do_not_see_the_scoring(forms):
    quiz = {
        "form": "quiz", "title": {"en": "Quiz"}, "kind": "quiz",
        "schema": {"type": "object", "required": ["q"], "properties": {"q": {"type": "string", "enum": ["a", "b"]}}},
        "sections": [{"section": "s", "questions": ["q"]}],
        "scoring": {"questions": {"q": {"points": {"a": 0, "b": 1}}}},
    }  # fmt: skip
    quinn, ada = forms.client_as("quinn", "t1"), forms.client_as("ada", "t1")
    await quinn.put("/forms/quiz", json=quiz)
    await quinn.post("/forms/quiz/publish")
    for path in ("/forms/quiz", "/forms/quiz/versions/1"):
        assert "scoring" not in (await ada.get(path)).json()["definition"]
        assert "scoring" in (await quinn.get(path)).json()["definition"]
    made = (await ada.post("/forms/quiz/submissions", json={"answers": {"q": "a"}})).json()
    assert (made["agent_id"], made["score"]) == (str(person_id("ada")), 0)
    second_thoughts = await ada.put(f"/forms/quiz/submissions/{made['id']}", json={"answers": {"q": "b"}})
    assert second_thoughts.status_code == 403


async def test_events_of_an_unscored_form_and_of_a_score_that_is_lost(forms):
    survey = {
        "form": "mood", "title": {"en": "Mood"}, "kind": "survey", "about": "none",
        "schema": {"type": "object", "properties": {"mood": {"type": "integer", "minimum": 1, "maximum": 5}}},
    }  # fmt: skip
    quinn, ada = forms.client_as("quinn", "t1"), forms.client_as("ada", "t1")
    await quinn.put("/forms/mood", json=survey)
    await quinn.post("/forms/mood/publish")
    assert (await ada.post("/forms/mood/submissions", json=about("ben", {}))).status_code == 422
    made = (await ada.post("/forms/mood/submissions", json={"answers": {"mood": 4}})).json()
    assert (made["agent_id"], made["score"], made["result"]) == (None, None, None)
    (event,) = await forms.read_events(SubmissionSubmitted)
    assert (event.agent_id, event.submitted_by) == (person_id("ada"), person_id("ada"))
    assert (await forms.client_as("ben", "t1").get(f"/forms/mood/submissions/{made['id']}")).status_code == 404

    survey |= {
        "form": "check", "kind": "evaluation", "about": "agent",
        "sections": [{"section": "s", "questions": ["mood"]}],
        "scoring": {"questions": {"mood": {"scale": {"worst": 1, "best": 5}}}},
    }  # fmt: skip
    await quinn.put("/forms/check", json=survey)
    await quinn.post("/forms/check/publish")
    one = (await quinn.post("/forms/check/submissions", json=about("ada", {"mood": 4}))).json()
    await quinn.put(f"/forms/check/submissions/{one['id']}", json={"answers": {}})
    assert [(each.version, each.score, each.void) for each in await forms.read_events(SubmissionScored)] == [
        (1, 7500, False),
        (2, 7500, True),
    ]
    assert [each.version for each in await forms.read_events(SubmissionSubmitted)][1:] == [2]


async def test_the_workday_is_by_the_tenants_clock_and_time_zone(published):
    clock = tenant(
        "t1", time_zone="Europe/Berlin", day_start_minutes=360, simulated=True, clock=parse_instant("2026-03-02T04:30Z")
    )
    await published.deliver(clock, tenant="t1")
    made = (await published.client_as("lea", "t1").post(PATH, json=about("ada"))).json()
    assert (made["workday"], made["submitted_at"]) == ("2026-03-01", "2026-03-02T04:30:00Z")
    await published.deliver(org_unit("a", time_zone="Asia/Shanghai"), tenant="t1")
    there = (await published.client_as("lea", "t1").post(PATH, json=about("ada"))).json()
    assert there["workday"] == "2026-03-02", "12:30 at the site of the agent whom it is about"


async def test_tenants_are_isolated(published, call_review):
    other = published.client_as("quinn", "t2")
    one = (await published.client_as("quinn", "t1").post(PATH, json=about("ada"))).json()
    assert (await other.get("/forms")).json()["items"] == []
    assert (await other.get(PATH)).status_code == 404
    await other.put("/forms/call-review", json=call_review)
    await other.post("/forms/call-review/publish")
    assert (await other.get(PATH)).json()["items"] == []
    assert (await other.get(f"{PATH}/{one['id']}")).status_code == 404
    assert (await other.delete(f"{PATH}/{one['id']}")).status_code == 404


async def test_a_blueprint_is_applied_once_and_confirmed(forms, call_review):
    section = {"forms": {"forms": [call_review]}, "training": {}}
    await forms.deliver(BlueprintPublished(version=1, sections=section), tenant="t1")
    await forms.deliver(BlueprintPublished(version=2, sections=section), tenant="t1")
    await forms.deliver(BlueprintPublished(version=3, sections={"training": {}}), tenant="t1")
    assert [each.version for each in await forms.read_events(FormPublished)] == [1]
    answers = await forms.read_events(SectionApplied)
    assert {each.version for each in answers} == {1, 2}
    again = answers[0].content
    await forms.deliver(BlueprintPublished(version=4, sections={"forms": again}), tenant="t1")
    assert [each.version for each in await forms.read_events(FormPublished)] == [1]
    assert (await forms.read_events(SectionApplied))[-1].content == again


@pytest.mark.parametrize(
    "change, pointer",
    [
        ({"schema": {"type": "object", "properties": {"q": {"$ref": "http://x"}}}}, "/forms/1/schema/properties/q/$ref"),
        ({"kind": "exam"}, "/forms/1/kind"),
        ({"colour": "red"}, "/forms/1/colour"),
        ({"logic": {"questions": {"apology": {"all": [{"question": "x", "op": "near"}]}}}},
         "/forms/1/logic/questions/apology/all/0/op"),
    ],
)  # fmt: skip
async def test_an_invalid_blueprint_is_rejected_and_changes_nothing(forms, call_review, change, pointer):
    broken = call_review | {"form": "broken"} | change
    sections = {"forms": {"forms": [call_review, broken]}}
    await forms.deliver(BlueprintPublished(version=1, sections=sections), tenant="t1")
    rejected = await forms.read_events(SectionRejected)
    assert [[each.pointer for each in one.problems] for one in rejected] == [[pointer]]
    assert await forms.read_events(SectionApplied) == []
    assert (await forms.client_as("quinn", "t1").get("/forms")).json()["items"] == []


async def test_the_kind_of_a_published_form_cannot_change(published, call_review):
    other = call_review | {"kind": "note"}
    assert (await published.client_as("quinn", "t1").put("/forms/call-review", json=other)).status_code == 409
    new = call_review | {"form": "new"}
    sections = {"forms": {"forms": [new, other]}}
    await published.deliver(BlueprintPublished(version=1, sections=sections), tenant="t1", twice=False)
    (rejected,) = await published.read_events(SectionRejected)
    assert [each.pointer for each in rejected.problems] == ["/forms/1/kind"]
    assert await published.read_events(FormPublished) == []


@both_stores
async def test_unused_documents_are_swept(published, call_review):
    quinn = published.client_as("quinn", "t1")
    store = published.context.documents
    await quinn.post(PATH, json=about("ada"))
    for title in ("B", "C"):
        await quinn.put("/forms/call-review", json=call_review | {"title": {"en": title}})
    orphans = {collection: str(uuid4()) for collection in ("form-definition", "form-submission")}
    for collection, id in orphans.items():
        await store.put("t1", collection, [Document(id, {}, b"{}")])

    async def left(collection):
        return {each.id for each in await store.find("t1", collection, {})}

    await published.tick(datetime.now(UTC) + timedelta(days=3))
    assert len(await left("form-definition")) == 3, "version 1, the draft C, and the one that is too young to be swept"
    assert len(await left("form-submission")) == 2
    published.sweep_young_documents()
    await published.tick(datetime.now(UTC) + timedelta(days=6))
    for collection, count in (("form-definition", 2), ("form-submission", 1)):
        assert len(await left(collection)) == count
        assert orphans[collection] not in await left(collection)
    assert (await quinn.get("/forms/call-review")).json()["definition"]["title"]["en"] == "C"
    assert (await quinn.get("/forms/call-review/versions/1")).status_code == 200


async def test_the_same_idempotency_key_submits_once(published):
    lea = published.client_as("lea", "t1")
    key = {"idempotency-key": "k-1"}
    one, two = [(await lea.post(PATH, json=about("ada"), headers=key)).json() for _ in range(2)]
    assert one["id"] == two["id"]
    assert len(await published.read_events(SubmissionScored)) == 1


async def test_lists_are_paged_by_cursor(published):
    quinn = published.client_as("quinn", "t1")
    ids = [(await quinn.post(PATH, json=about("ada"))).json()["id"] for _ in range(5)]
    seen, after = [], None
    while True:
        page = (await quinn.get(PATH, params={"limit": 2, **({"after": after} if after else {})})).json()
        seen += [each["id"] for each in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ids[::-1]
