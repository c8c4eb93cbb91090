"""A rule that a version before stored, and this one cannot read: it stops neither the reader nor the other rules."""

from testkit import parse_instant


async def test_a_rule_that_cannot_be_read_is_passed_over_with_an_error(game, caplog):
    await game.blueprint(game.LEFT, {**game.TRAINED, "rule": "also"})
    async with game.h.context.sessions.begin(["acme"], now=game.now) as session:
        spoilt = """UPDATE rule_edition SET body = '{"kind": "of old"}' WHERE tenant = 'acme' AND rule = 'left-coach'"""
        await session.execute(spoilt)
        spoilt = """UPDATE leaderboard SET body = '{"of": "old"}' WHERE tenant = 'acme'"""
        await session.execute(spoilt)
    await game.leave("ada")
    await game.complete("ada")
    assert await game.ledger() == [("ada", "also", 20)]
    assert (await game.get("ann", "/leaderboards"))["items"] == []
    assert "the rule left-coach cannot be read any more" in caplog.text
    game.now = parse_instant("2026-03-19T08:00Z")
    await game.blueprint(game.LEFT)
    await game.leave("ben")
    assert ("ben", "left-coach", 100) in await game.ledger()
