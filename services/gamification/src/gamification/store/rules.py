"""Editions of rules, and boards."""

from collections.abc import Sequence
from functools import lru_cache

from pydantic import TypeAdapter
from pydantic_core import from_json
from servicekit.stored import parse_all_stored, parse_stored
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from gamification.model.boards import Leaderboard
from gamification.model.rules import Edition, Rule
from gamification.store.tables import leaderboard, rule_edition

_rule: TypeAdapter[Rule] = TypeAdapter(Rule)


async def lock_rules(session: Session) -> None:
    """Serialises changes of the tenant's rules until the transaction ends."""
    await session.lock_key(f"rules {session.tenant}")


async def load_editions(session: Session) -> Sequence[Edition]:
    """Every edition of every rule, oldest first."""
    return await session.cached(("rules",), lambda: _load_editions(session))


async def _load_editions(session: Session) -> Sequence[Edition]:
    found = await session.scalar(
        "SELECT json_agg(json_build_array(edition, rule, body) ORDER BY edition)::text FROM rule_edition "
        "WHERE tenant = :tenant",
        {"tenant": session.tenant},
    )
    return _parse_editions(found or "[]")


# Every batch loads the editions, and they seldom change. A rule that no longer validates counts as retired.
@lru_cache(maxsize=256)
def _parse_editions(editions: str) -> Sequence[Edition]:
    return tuple(
        Edition(edition, rule, None if body is None else parse_stored(f"the rule {rule}", _rule.validate_python, body))
        for edition, rule, body in from_json(editions)
    )


async def load_current_rules(session: Session) -> list[Rule]:
    """The rules in force, sorted by name."""
    newest = {each.rule: each.body for each in await load_editions(session)}
    return [body for _, body in sorted(newest.items()) if body is not None]


async def find_rule(session: Session, slug: str) -> tuple[Rule, bool] | None:
    """The rule's newest body, and whether the rule is retired. None: there never was one."""
    bodies = [each.body for each in await load_editions(session) if each.rule == slug]
    last = next((body for body in reversed(bodies) if body is not None), None)
    return None if last is None else (last, bodies[-1] is None)


async def add_edition(session: Session, slug: str, body: Rule | None) -> None:
    """Adds the next edition: of the rule `slug`, with `body`, or retired (None). The rules must be locked."""
    session.clear_cache()
    edition = await session.scalar(
        "SELECT coalesce(max(edition), 0) + 1 FROM rule_edition WHERE tenant = :tenant", {"tenant": session.tenant}
    )
    await session.execute(
        insert(rule_edition).values(
            tenant=session.tenant,
            edition=edition,
            rule=slug,
            body=None if body is None else body.model_dump(mode="json"),
            at=session.now,
        )
    )


async def list_boards(session: Session) -> list[Leaderboard]:
    """All boards, by name."""
    rows = await session.rows(
        "SELECT body FROM leaderboard WHERE tenant = :tenant ORDER BY slug", {"tenant": session.tenant}
    )
    return parse_all_stored("a leaderboard", Leaderboard.model_validate, [row["body"] for row in rows])


async def find_board(session: Session, slug: str) -> Leaderboard | None:
    """The board, or None; also None where the stored one no longer validates."""
    row = await session.row(
        "SELECT body FROM leaderboard WHERE tenant = :tenant AND slug = :slug",
        {"tenant": session.tenant, "slug": slug},
    )
    return None if row is None else parse_stored(f"the leaderboard {slug}", Leaderboard.model_validate, row["body"])


async def upsert_board(session: Session, board: Leaderboard) -> None:
    """Inserts or replaces one board."""
    values = {"body": board.model_dump(mode="json")}
    await session.execute(
        insert(leaderboard)
        .values(tenant=session.tenant, slug=board.leaderboard, **values)
        .on_conflict_do_update(index_elements=["tenant", "slug"], set_=values)
    )


async def delete_board(session: Session, slug: str) -> bool:
    """Deletes a board; returns whether there was one."""
    statement = leaderboard.delete().where(leaderboard.c.tenant == session.tenant, leaderboard.c.slug == slug)
    return (await session.execute(statement)).rowcount == 1


async def replace_boards(session: Session, boards: list[Leaderboard]) -> None:
    """Deletes all boards and inserts `boards`."""
    await session.execute(leaderboard.delete().where(leaderboard.c.tenant == session.tenant))
    for board in boards:
        await upsert_board(session, board)
