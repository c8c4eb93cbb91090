"""A lead sees the trainings of the days on which the agent was in the lead's team."""

from datetime import date

from testkit import parse_instant, person, person_after_move

MOVE = date(2026, 3, 10)


async def test_a_move_takes_nothing_and_opens_nothing(training) -> None:
    await training.blueprint(training.rule(withdraw_when_left=False, max_open=9))
    before = await training.enter("ada", "2026-03-04", kpi="silence_pct")
    assignment = await training.only()
    await training.finish("ada", assignment["id"])
    await training.leave(before, "2026-03-05")
    people = [person_after_move("ada", "team-a", "team-b", MOVE), person("leb", roles=[("team_lead", "team-b")])]
    training.now = parse_instant("2026-03-12T08:00Z")
    await training.people("acme", simulated=True, clock=training.now)
    await training.h.apply_directory("acme", people=people)
    await training.post("tom", "/assignments", {"agent": "ada", "template": "silence-quiz"}, 201)

    async def seen(who: str, **query: str) -> list[str]:
        return [each["template"] for each in await training.assignments(who, **query)]

    assert await seen("tom") == ["silence-quiz", "silence-basics"]
    assert await seen("ada") == ["silence-quiz", "silence-basics"]
    assert await seen("lea") == ["silence-basics"]
    assert await seen("leb") == ["silence-quiz"]
    assert await seen("tom", team="team-b") == ["silence-quiz"], "a team's trainings are of who was in it then"
    for who, status in (("lea", 200), ("leb", 403), ("tom", 200), ("ada", 200)):
        assert (
            await training.h.client_as(who, "acme").get(f"/assignments/{assignment['id']}")
        ).status_code == status, who


async def test_what_is_still_open_goes_along_but_not_the_numbers_of_before(training) -> None:
    await training.blueprint(training.rule())
    await training.enter("ada", "2026-03-04")
    assignment = await training.only()
    training.now = parse_instant("2026-03-12T08:00Z")
    await training.people("acme", simulated=True, clock=training.now)
    people = [person_after_move("ada", "team-a", "team-b", MOVE), person("leb", roles=[("team_lead", "team-b")])]
    await training.h.apply_directory("acme", people=people)
    for who, windows, partial in (("lea", 1, False), ("leb", 0, True), ("tom", 1, False), ("ada", 1, False)):
        shown = (await training.h.client_as(who, "acme").get(f"/assignments/{assignment['id']}")).json()
        assert (len(shown["evidence"]["windows"]), shown["partial"]) == (windows, partial), who


async def test_effect_counts_the_days_that_are_seen(training) -> None:
    await training.blueprint(training.rule())
    await training.enter("ada", "2026-03-04")
    await training.enter("ben", "2026-03-04")
    await training.people("acme", simulated=True, clock=parse_instant("2026-03-20T08:00Z"))
    people = [person_after_move("ada", "team-a", "team-b", MOVE), person("leb", roles=[("team_lead", "team-b")])]
    await training.h.apply_directory("acme", people=people)
    dates = {"from": "2026-03-02", "to": "2026-03-15"}
    for who, known in (("lea", [2, 1]), ("leb", [0, 1]), ("tom", [2, 2])):
        weeks = (await training.h.client_as(who, "acme").get("/templates/silence-basics/effect", params=dates)).json()[
            "weeks"
        ]
        assert [week["untrained"]["agents"] for week in weeks] == known, who
