"""Who did what when. Of states only digests are kept: they tell that and when something changed, and can be compared
with an event or an export, without keeping personal data beyond its life."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts import new_id
from storage import Session


@dataclass(frozen=True)
class Entry:
    """`before` and `after` are digests of the subject's whole state; None: was not, or is not any more."""

    action: str
    subject: str
    before: str | None
    after: str | None


async def record(session: Session, by: str, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    await session.execute(
        'INSERT INTO audit (tenant, id, at, "by", action, subject, before, after) '
        "SELECT :tenant, i, :now, :by, a, s, b, f FROM unnest(cast(:ids AS uuid[]), cast(:actions AS text[]), "
        "cast(:subjects AS text[]), cast(:before_states AS text[]), cast(:after_states AS text[])) AS e(i, a, s, b, f)",
        {
            "tenant": session.tenant,
            "now": session.now,
            "by": by,
            "ids": [new_id() for _ in entries],
            "actions": [entry.action for entry in entries],
            "subjects": [entry.subject for entry in entries],
            "before_states": [entry.before for entry in entries],
            "after_states": [entry.after for entry in entries],
        },
    )


async def entries(
    session: Session, *, subject: str | None, by: str | None, before: str | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first, from the one older than the id `before`."""
    conditions = ["tenant = :tenant"]
    given: dict[str, Any] = {"tenant": session.tenant, "limit": limit}
    for name, value, condition in (
        ("subject", subject, "subject = :subject"),
        ("by", by, '"by" = :by'),
        ("before", before, "id < cast(:before AS uuid)"),
    ):
        if value is not None:
            conditions.append(condition)
            given[name] = value
    return await session.rows(
        f'SELECT id, at, "by", action, subject, before, after FROM audit WHERE {" AND ".join(conditions)} '  # noqa: S608
        "ORDER BY id DESC LIMIT :limit",
        given,
    )
