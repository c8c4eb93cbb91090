"""The ledger and the boards as people see them; rules and blueprints."""

import pytest
from contracts.blueprints import SectionApplied, SectionRejected
from gamification.model.section import CURES, Section, find_contradictions
from pydantic import ValidationError
from servicekit.validation_problems import find_validation_problems
from testkit import parse_instant


async def earn(game, **points):
    """Points by agent through a rule each."""
    rules = [
        {**game.TRAINED, "rule": f"of-{value}", "template": f"t{value}", "points": value}
        for value in set(points.values())
    ]
    await game.blueprint(*rules, game.LEFT)
    for who, value in points.items():
        await game.complete(who, f"t{value}")


async def test_people_see_their_own_ledger_and_leads_their_teams(game):
    await earn(game, ada=30, ben=20, cem=10)
    assert {who for who, *_ in await game.ledger("ada")} == {"ada"}
    assert {who for who, *_ in await game.ledger("lea")} == {"ada", "ben"}
    assert {who for who, *_ in await game.ledger("ann")} == {"ada", "ben", "cem"}
    await game.get("ada", "/ledger", status=403, agent="ben")
    await game.get("lea", "/ledger", status=403, agent="cem")
    await game.get("lea", "/balance", status=403, agent="cem")
    await game.get("ann", "/ledger", status=404, agent="nobody")
    assert (await game.get("ada", "/balance"))["balance"] == 30
    assert (await game.h.client(None).get("/ledger")).status_code == 401


async def test_the_ledger_pages_by_cursor(game):
    await earn(game, ada=30, ben=20, cem=10)
    seen, after = [], {}
    while True:
        page = await game.get("ann", "/ledger", limit=1, **after)
        seen += [each["agent"] for each in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert sorted(seen) == ["ada", "ben", "cem"]
    await game.get("ann", "/leaderboards/week/standings", status=422, **after)
    await game.get("ann", "/leaderboards/week/standings", status=422, on="9999-12-31")


async def test_a_board_ranks_ties_alike_and_hides_names_below_the_top(game):
    board = {**game.BOARD, "top": 1}
    await earn(game, ada=30, ben=20, cem=20, dan=10)
    answer = await game.h.client_as("ann", "acme").put("/leaderboards/week", json=board)
    assert answer.status_code == 200
    seen = await game.get("dan", "/leaderboards/week/standings")
    assert [(each["rank"], each["points"], each["agent"], each["me"]) for each in seen["items"]] == [
        (1, 30, "ada", False), (2, 20, None, False), (2, 20, None, False), (4, 10, "dan", True)
    ]  # fmt: skip
    assert (seen["from"], seen["to"], seen["ranked"]) == ("2026-03-16", "2026-03-22", 4)
    assert seen["me"]["rank"] == 4
    assert all(each["agent_id"] is None for each in seen["items"][1:3])
    by_lea = [each["agent"] for each in (await game.get("lea", "/leaderboards/week/standings"))["items"]]
    assert sorted(map(str, by_lea)) == ["None", "None", "ada", "ben"]
    assert all(each["name"] for each in (await game.get("ann", "/leaderboards/week/standings"))["items"])
    await game.h.client_as("ann", "acme").put("/leaderboards/week", json={**board, "anonymise": "none"})
    assert all(each["name"] for each in (await game.get("dan", "/leaderboards/week/standings"))["items"])


async def test_a_board_around_me_and_by_pages(game):
    await earn(game, ada=40, ben=30, cem=20, dan=10)
    await game.h.client_as("ann", "acme").put("/leaderboards/week", json={**game.BOARD, "top": 1, "around": 1})
    around = await game.get("dan", "/leaderboards/week/standings", around_me=True)
    assert [each["rank"] for each in around["items"]] == [1, 3, 4]
    first = await game.get("ann", "/leaderboards/week/standings", limit=3)
    second = await game.get("ann", "/leaderboards/week/standings", limit=3, after=first["next"])
    assert [each["agent"] for each in first["items"] + second["items"]] == ["ada", "ben", "cem", "dan"]
    assert second["next"] is None


async def test_a_board_counts_its_period_rules_people_and_entries(game):
    await earn(game, ada=30, cem=10)
    week = "2026-03-22T16:30Z"
    await game.people("acme", time_zone="Asia/Shanghai", simulated=True, clock=parse_instant(week))
    game.now = parse_instant(week)  # already Monday in Shanghai
    stay = await game.leave("ada")
    assert [each["points"] for each in (await game.get("ann", "/leaderboards/week/standings"))["items"]] == [100]
    before = await game.get("ann", "/leaderboards/week/standings", on="2026-03-18")
    assert [each["points"] for each in before["items"]] == [30, 10]
    ann = game.h.client_as("ann", "acme")
    for board in (
        {**game.BOARD, "leaderboard": "month", "period": "month"},
        {**game.BOARD, "leaderboard": "total", "period": "total", "rules": ["left-coach"]},
        {**game.BOARD, "leaderboard": "busy", "period": "total", "min_entries": 2},
        {**game.BOARD, "leaderboard": "b", "period": "total", "org_unit": "team-b"},
    ):
        assert (await ann.put(f"/leaderboards/{board['leaderboard']}", json=board)).status_code == 200

    async def points(board, **query):
        return [
            each["points"] for each in (await game.get("ann", f"/leaderboards/{board}/standings", **query))["items"]
        ]

    assert await points("month") == [130, 10]
    assert await points("total") == [100]
    assert await points("busy") == [130]
    assert await points("b") == [10]
    assert await points("month", team="team-a") == [130]
    await game.correct(stay, "left")
    assert await points("busy") == []  # what was taken back is no entry
    assert await points("week") == []
    assert len((await game.get("ada", "/leaderboards"))["items"]) == 5


async def test_boards_of_other_teams_are_not_shown(game):
    await earn(game, ada=30, cem=10)
    for who, team, status in (
        ("ada", "team-a", 200), ("ada", "team-b", 403), ("lea", "team-a", 200), ("lea", "team-b", 403),
        ("ann", "team-b", 200), ("ann", "none", 404),
    ):  # fmt: skip
        await game.get(who, "/leaderboards/week/standings", status=status, team=team)
    await game.get("ann", "/leaderboards/none/standings", status=404)


async def test_rules_are_read_by_all_and_edited_by_the_admin(game):
    await game.blueprint(game.LEFT, game.BETTER)
    assert [each["rule"] for each in (await game.get("ada", "/rules"))["items"]] == ["better", "left-coach"]
    assert (await game.get("ada", "/rules/better"))["baseline_days"] == 2
    await game.get("ada", "/rules/none", status=404)
    edited = {**game.LEFT, "points": 50}
    for who, status in (("ada", 403), ("lea", 403), ("ann", 200)):
        client = game.h.client_as(who, "acme")
        assert (await client.put("/rules/left-coach", json=edited)).status_code == status
        assert (await client.put("/rules", json={"rules": [edited]})).status_code == status
        assert (await client.put("/leaderboards/week", json=game.BOARD)).status_code == status
    ann = game.h.client_as("ann", "acme")
    assert (await ann.put("/rules/other", json=edited)).status_code == 422
    assert (await ann.put("/rules", json={"rules": [edited, edited]})).status_code == 422
    assert (await ann.put("/leaderboards/week", json={**game.BOARD, "rules": ["none"]})).status_code == 422
    assert [each["rule"] for each in (await game.get("ada", "/rules"))["items"]] == ["left-coach"]
    await game.leave("ada")
    assert await game.balance("ada") == 50


async def test_a_blueprint_is_applied_and_answered_and_edits_answer_too(game):
    await game.blueprint(game.LEFT, game.BETTER)
    (answer,) = await game.h.read_events(SectionApplied)
    assert (answer.service, answer.version) == ("gamification", 1)
    assert [each["rule"] for each in answer.content["rules"]] == ["better", "left-coach"]
    assert answer.content["leaderboards"][0]["leaderboard"] == "week"
    await game.blueprint(*answer.content["rules"], boards=tuple(answer.content["leaderboards"]))
    count = "SELECT count(*) AS n FROM rule_edition WHERE tenant = 'acme'"
    assert (await game.h.rows("acme", count))[0]["n"] == 2  # the same again makes no new editions

    await game.h.client_as("ann", "acme").put("/rules/left-coach", json={**game.LEFT, "points": 1})
    last = (await game.h.read_events(SectionApplied))[-1]
    assert last.version is None
    assert last.content["rules"][1]["points"] == 1
    game.blueprint_version = 0
    await game.blueprint(game.LEFT)  # an old one that comes again
    assert (await game.get("ann", "/rules/left-coach"))["points"] == 1


async def test_a_bad_section_changes_nothing_and_says_why(game):
    await game.blueprint(game.LEFT)
    await game.blueprint({**game.LEFT, "points": 0}, {**game.BETTER, "kind": "luck"}, boards=())
    (rejected,) = await game.h.read_events(SectionRejected)
    assert [each.pointer for each in rejected.problems] == ["/rules/0/points", "/rules/1"]
    await game.blueprint(game.LEFT, boards=({**game.BOARD, "rules": ["gone"]},))
    problem = (await game.h.read_events(SectionRejected))[-1].problems[0]
    assert (problem.pointer, problem.cure) == ("/leaderboards/0/rules/0", "one of: left-coach")
    assert (await game.get("ann", "/rules/left-coach"))["points"] == 100


def test_a_section_that_contradicts_itself_is_refused():
    board = {"leaderboard": "b", "title": {"en": "B"}}
    trained = {"kind": "training_completed", "rule": "r", "title": {"en": "T"}, "points": 1}
    section = Section.model_validate({"rules": [trained, trained], "leaderboards": [board, board]})
    assert [each.pointer for each in find_contradictions(section)] == ["/rules/1/rule", "/leaderboards/1/leaderboard"]


def test_a_section_names_every_field_that_is_invalid():
    content = {"rules": [{"kind": "band_left", "rule": "r"}, {"rule": "s"}], "extra": 1}
    with pytest.raises(ValidationError) as caught:
        Section.model_validate(content)
    problems = {each.pointer: each.cure for each in find_validation_problems(caught.value, content, Section, CURES)}
    assert problems.pop("/rules/1") == "add `kind`"
    assert set(problems) == {"/rules/0/title", "/rules/0/kpi", "/rules/0/from_bands", "/rules/0/points", "/extra"}
