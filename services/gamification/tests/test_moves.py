"""A lead sees the points of the days on which the agent was in the lead's team."""

from datetime import date

import pytest
from testkit import parse_instant, person, person_after_move

MOVE = date(2026, 3, 17)


@pytest.fixture
async def transferred(game):
    """Ada left a band on March 16 in team-a, and on March 18 in team-b; the leads are lea and leb."""
    await game.blueprint(
        game.LEFT, boards=({**game.BOARD, "top": 1}, {"leaderboard": "a", "title": {"en": "A"}, "org_unit": "team-a"})
    )
    people = [person_after_move("ada", "team-a", "team-b", MOVE), person("leb", roles=[("team_lead", "team-b")])]
    await game.h.apply_directory("acme", people=people)
    game.now = parse_instant("2026-03-16T08:00Z")
    await game.leave("ada")
    game.now = parse_instant("2026-03-18T08:00Z")
    await game.leave("ada")
    return game


async def test_entries_and_balances_are_of_the_days_that_are_seen(transferred) -> None:
    for who, entries, partial in (("lea", 1, True), ("leb", 1, True), ("ann", 2, False), ("ada", 2, False)):
        assert len(await transferred.ledger(who)) == entries, who
        shown = await transferred.get(who, "/balance", agent="ada")
        assert (shown["balance"], shown["partial"]) == (entries * 100, partial), who
        assert (shown["provisional"] is None) == (who == "lea"), who  # today she is in team-b
    assert len(await transferred.ledger("ann", team="team-a")) == 1
    await transferred.get("leb", "/balance", agent="ben", status=403)


async def test_a_teams_board_counts_what_was_earned_in_it(transferred) -> None:
    (place,) = (await transferred.get("ann", "/leaderboards/a/standings", on="2026-03-18"))["items"]
    assert (place["agent"], place["points"]) == ("ada", 100)


async def test_who_saw_the_agent_in_the_period_reads_the_name(transferred) -> None:
    await transferred.leave("cem")
    await transferred.leave("cem")
    await transferred.leave("cem")
    for who, named in (("lea", True), ("leb", True), ("ben", False)):
        (below,) = [
            each
            for each in (await transferred.get(who, "/leaderboards/week/standings", on="2026-03-18"))["items"]
            if each["rank"] > 1
        ]
        assert (below["agent"] == "ada") == named, who
