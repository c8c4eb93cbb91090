"""Rules in editions, and boards."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json
from servicekit.stored import all_readable, readable
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from gamification.model.boards import Leaderboard
from gamification.model.rules import Edition, Rule
from gamification.store.tables import leaderboard, rule_edition

_rule: TypeAdapter[Rule] = TypeAdapter(Rule)


async def lock_rules(session: Session) -> None:
    """One at a time changes the tenant's rules."""
    await session.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('rules ' || cast(:tenant AS text), 0))",
        {"tenant": session.tenant},
    )


async def load_editions(session: Session) -> Sequence[Edition]:
    """All there ever were, oldest first."""
    return await session.cached(("rules",), lambda: _editions(session))


async def _editions(session: Session) -> Sequence[Edition]:
    found = await session.scalar(
        "SELECT json_agg(json_build_array(edition, rule, body) ORDER BY edition)::text FROM rule_edition "
        "WHERE tenant = :tenant",
        {"tenant": session.tenant},
    )
    return _parse_editions(found or "[]")


# Every batch asks, and the answer is seldom another one. A rule that cannot be read any more is as one that was retired.
@lru_cache(maxsize=256)
def _parse_editions(editions: str) -> Sequence[Edition]:
    return tuple(
        Edition(edition, rule, None if body is None else readable(f"the rule {rule}", _rule.validate_python, body))
        for edition, rule, body in from_json(editions)
    )


async def load_current_rules(session: Session) -> list[Rule]:
    """As they now are, by name."""
    newest = {each.rule: each.body for each in await load_editions(session)}
    return [body for _, body in sorted(newest.items()) if body is not None]


async def find_rule(session: Session, slug: str) -> tuple[Rule, bool] | None:
    """As it now is, or last was, and whether it is retired."""
    mine = [each.body for each in await load_editions(session) if each.rule == slug]
    last = next((body for body in reversed(mine) if body is not None), None)
    return None if last is None else (last, mine[-1] is None)


async def add_edition(session: Session, slug: str, body: Rule | None) -> None:
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
    rows = await session.rows(
        "SELECT body FROM leaderboard WHERE tenant = :tenant ORDER BY slug", {"tenant": session.tenant}
    )
    return all_readable("a leaderboard", Leaderboard.model_validate, [row["body"] for row in rows])


async def find_board(session: Session, slug: str) -> Leaderboard | None:
    row: dict[str, Any] | None = await session.row(
        "SELECT body FROM leaderboard WHERE tenant = :tenant AND slug = :slug",
        {"tenant": session.tenant, "slug": slug},
    )
    return None if row is None else readable(f"the leaderboard {slug}", Leaderboard.model_validate, row["body"])


async def put_board(session: Session, board: Leaderboard) -> None:
    values = {"body": board.model_dump(mode="json")}
    await session.execute(
        insert(leaderboard)
        .values(tenant=session.tenant, slug=board.leaderboard, **values)
        .on_conflict_do_update(index_elements=["tenant", "slug"], set_=values)
    )


async def delete_board(session: Session, slug: str) -> bool:
    """Whether there was one."""
    gone = leaderboard.delete().where(leaderboard.c.tenant == session.tenant, leaderboard.c.slug == slug)
    return (await session.execute(gone)).rowcount == 1


async def replace_boards(session: Session, boards: list[Leaderboard]) -> None:
    await session.execute(leaderboard.delete().where(leaderboard.c.tenant == session.tenant))
    for board in boards:
        await put_board(session, board)
