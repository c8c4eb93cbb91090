"""The ledger: entries are inserted and summed, never changed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from contracts.envelope import ReasonValues
from servicekit.visibility import VisibilityFilter
from storage import InsertSpec, Session, on_conflict_update

from gamification.model.ledger_batch import Entry, LedgerBatch, NewEntry
from gamification.store.tables import heard_correction, heard_stay, ledger


@dataclass(frozen=True)
class LedgerRow:
    """An entry as it is stored, with its agent's slug and display name; both None where the directory copy lacks them."""

    id: UUID
    agent_id: UUID
    rule: str
    cause: str
    points: int
    title: dict[str, str]
    at: datetime
    earned_on: date
    reverses: UUID | None
    reason: str | None
    reason_code: str | None
    reason_values: ReasonValues | None
    detail: dict[str, Any] | None
    agent: str | None
    name: str | None


@dataclass(frozen=True)
class RankingRow:
    """An agent's place in a ranking: `rank` from 1, equal points share one; `entries`: how many grants stand."""

    rank: int
    agent_id: UUID
    points: int
    entries: int
    agent: str
    name: str


class VisibleBalance(NamedTuple):
    """The sum of an agent's visible entries; `partial`: whether other entries are hidden from the caller."""

    points: int
    partial: bool


async def insert_entries(session: Session, new_entries: Sequence[NewEntry]) -> set[UUID]:
    """Inserts entries, except a second grant of the same agent, rule, cause and occasion, and a second reversal of the
    same entry. Returns the ids of the inserted ones."""
    rows = [
        {
            "id": each.entry.id,
            "agent_id": each.entry.agent_id,
            "rule": each.entry.rule,
            "cause": each.entry.cause,
            "occasion": each.entry.occasion,
            "points": each.entry.points,
            "title": each.entry.title,
            "at": each.at,
            "earned_on": each.entry.earned_on,
            "reverses": each.entry.reverses,
            "reason": each.entry.reason,
            "reason_code": each.entry.reason_code or None,
            "reason_values": each.entry.reason_values if each.entry.reason_code else None,
            "detail": each.entry.detail,
        }
        for each in new_entries
    ]
    return {row["id"] for row in await session.insert_rows(_INSERT_ENTRIES, rows)}


_INSERT_ENTRIES = InsertSpec(ledger, None, ("tenant",), "ON CONFLICT DO NOTHING RETURNING id")


async def load_batch_by_causes(session: Session, agents: Collection[UUID], causes: Collection[str]) -> LedgerBatch:
    """All grants of these agents for these causes."""
    return await _load_batch(session, "g.cause = ANY(cast(:causes AS text[]))", agents, {"causes": list(causes)})


async def load_batch_by_days(session: Session, agents: Collection[UUID], *, first: date, last: date) -> LedgerBatch:
    """All grants of these agents that were earned from `first` to `last`, both included."""
    if not agents:
        return LedgerBatch((), ())
    return await _load_batch(session, "g.earned_on BETWEEN :first AND :last", agents, {"first": first, "last": last})


async def _load_batch(
    session: Session, condition: str, agents: Collection[UUID], parameters: dict[str, Any]
) -> LedgerBatch:
    rows = await session.rows(
        "SELECT g.id, g.agent_id, g.rule, g.cause, g.occasion, g.points, g.title, g.earned_on, EXISTS ("  # noqa: S608
        "SELECT 1 FROM ledger r WHERE r.tenant = g.tenant AND r.reverses = g.id) AS reversed "
        "FROM ledger g WHERE g.tenant = :tenant AND g.agent_id = ANY(cast(:agents AS uuid[])) "
        f"AND {condition} AND g.reverses IS NULL ORDER BY g.id",
        {"tenant": session.tenant, "agents": list(agents), **parameters},
    )
    reversed_ = [row["id"] for row in rows if row.pop("reversed")]
    return LedgerBatch([Entry(**row) for row in rows], reversed_)


async def insert_corrections(session: Session, event_ids: Collection[UUID]) -> set[UUID]:
    """Records corrections of bands as handled. Returns the ids of those that were not recorded before."""
    inserted = await session.insert_rows(_INSERT_CORRECTIONS, [{"event_id": event_id} for event_id in event_ids])
    return {row["event_id"] for row in inserted}


_INSERT_CORRECTIONS = InsertSpec(heard_correction, None, ("tenant",), "ON CONFLICT DO NOTHING RETURNING event_id")


async def load_stay_versions(session: Session, band_event_ids: Collection[UUID]) -> dict[UUID, int]:
    """The newest handled version of each of these stays in a band; an unknown stay is absent."""
    found = await session.tuples(
        "SELECT band_event_id, version FROM heard_stay WHERE tenant = :tenant "
        "AND band_event_id = ANY(cast(:ids AS uuid[]))",
        {"tenant": session.tenant, "ids": list(band_event_ids)},
    )
    return dict(found)


async def upsert_stay_versions(session: Session, versions: Mapping[UUID, int]) -> None:
    """Records the newest handled version of each stay in a band, by its id."""
    rows = [{"band_event_id": stay, "version": version} for stay, version in versions.items()]
    await session.insert_rows(_UPSERT_STAY_VERSIONS, rows)


_UPSERT_STAY_VERSIONS = InsertSpec(heard_stay, None, ("tenant",), on_conflict_update(heard_stay, ["version"]))


async def load_balance(session: Session, agent_id: UUID, visible: VisibilityFilter) -> VisibleBalance:
    """The sum of an agent's entries of the days on which the caller may see the agent."""
    seen = visible.filter_sql("agent_id", "earned_on")
    row = await session.row(
        f"SELECT coalesce(sum(points) FILTER (WHERE {seen}), 0) AS points, "  # noqa: S608
        f"coalesce(bool_or(NOT {seen}), false) AS partial FROM ledger WHERE tenant = :tenant AND agent_id = :agent",
        {"tenant": session.tenant, "agent": agent_id, **visible.parameters},
    )
    assert row is not None
    return VisibleBalance(row["points"], row["partial"])


async def load_balances(session: Session, agents: Collection[UUID]) -> dict[UUID, int]:
    """The sum of all entries by agent; an agent without entries is absent."""
    rows = await session.rows(
        "SELECT agent_id, sum(points) AS balance FROM ledger "
        "WHERE tenant = :tenant AND agent_id = ANY(cast(:agents AS uuid[])) GROUP BY agent_id",
        {"tenant": session.tenant, "agents": list(agents)},
    )
    return {row["agent_id"]: row["balance"] for row in rows}


async def load_page(
    session: Session,
    *,
    visible: VisibilityFilter,
    rule: str | None,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[LedgerRow]:
    """Visible entries, newest first. Visibility is that of the day on which the entry was earned. `after`: time and id
    of the last entry of the page before."""
    rows = await session.rows(
        "SELECT l.id, l.agent_id, l.rule, l.cause, l.points, l.title, l.at, l.earned_on, l.reverses, l.reason, "  # noqa: S608
        "l.reason_code, l.reason_values, l.detail, p.slug AS agent, p.body->>'display_name' AS name FROM ledger l "
        "LEFT JOIN directory_person p ON p.tenant = l.tenant AND p.id = l.agent_id WHERE l.tenant = :tenant "
        f"AND {visible.filter_sql('l.agent_id', 'l.earned_on')} "
        "AND (cast(:rule AS text) IS NULL OR l.rule = :rule) "
        "AND (cast(:at AS timestamptz) IS NULL OR (l.at, l.id) < (:at, cast(:id AS uuid))) "
        "ORDER BY l.at DESC, l.id DESC LIMIT :limit",
        {
            "tenant": session.tenant,
            **visible.parameters,
            "rule": rule,
            "at": after[0] if after else None,
            "id": after[1] if after else None,
            "limit": limit,
        },
    )
    return [LedgerRow(**row) for row in rows]


async def load_ranking(
    session: Session,
    *,
    first: date,
    end: date,
    rules: Sequence[str] | None,
    units: Collection[UUID] | None,
    min_entries: int,
) -> list[RankingRow]:
    """Active people by points earned from `first` (included) to `end` (excluded), most first. `units`: only points
    earned while a member of one of them. `min_entries`: people with fewer standing grants are absent."""
    rows = await session.rows(
        "WITH sums AS (SELECT agent_id, sum(points) AS points, sum(CASE WHEN reverses IS NULL THEN 1 ELSE -1 END) "
        "AS entries FROM ledger WHERE tenant = :tenant AND earned_on >= :first AND earned_on < :end "
        "AND (cast(:rules AS text[]) IS NULL OR rule = ANY(cast(:rules AS text[]))) "
        "AND (cast(:units AS uuid[]) IS NULL OR EXISTS (SELECT FROM directory_membership m WHERE m.tenant = :tenant "
        "AND m.person_id = ledger.agent_id AND m.org_unit_id = ANY(cast(:units AS uuid[])) "
        "AND m.valid_from <= earned_on AND earned_on < m.valid_to)) GROUP BY agent_id) "
        "SELECT rank() OVER (ORDER BY s.points DESC) AS rank, s.agent_id, s.points, s.entries, "
        "p.slug AS agent, p.body->>'display_name' AS name FROM sums s "
        "JOIN directory_person p ON p.tenant = :tenant AND p.id = s.agent_id AND p.active "
        "WHERE s.entries >= :min_entries ORDER BY s.points DESC, s.agent_id",
        {
            "tenant": session.tenant,
            "first": first,
            "end": end,
            "rules": None if rules is None else list(rules),
            "units": None if units is None else list(units),
            "min_entries": min_entries,
        },
    )
    return [RankingRow(**row) for row in rows]
