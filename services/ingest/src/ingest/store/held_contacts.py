"""Queries of held contacts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from storage import InsertSpec, MultiInsert, Session

from ingest.model.canonical import HoldReason
from ingest.store.tables import held

_HELD = InsertSpec(
    held,
    ("contact", "root", "reason", "waits_for"),
    ("tenant", "source", "since"),
    "ON CONFLICT (tenant, source, contact) DO UPDATE SET root = excluded.root, reason = excluded.reason, "
    "waits_for = excluded.waits_for",
)


class HeldRow(msgspec.Struct):
    """A held contact, with the fields of `canonical.Held` and the root of its interaction."""

    contact: str
    root: str
    reason: HoldReason
    waits_for: list[str]


async def load_held(session: Session, source: str, roots: Sequence[str]) -> list[HeldRow]:
    """What is held of these interactions."""
    rows = await session.tuples(
        "SELECT contact, root, reason, waits_for FROM held "
        "WHERE tenant = :tenant AND source = :source AND root = ANY(cast(:roots AS text[]))",
        {"tenant": session.tenant, "source": source, "roots": list(roots)},
    )
    return [HeldRow(*row) for row in rows]


def add_held(inserts: MultiInsert, rows: Sequence[HeldRow]) -> None:
    """Adds an upsert of held contacts to `inserts`."""
    inserts.add(_HELD, [msgspec.structs.asdict(row) for row in rows])


async def upsert_held(session: Session, source: str, rows: Sequence[HeldRow]) -> None:
    """Inserts held contacts; one that exists gets the new values."""
    await session.insert_rows(_HELD, map(msgspec.structs.asdict, rows), source=source, since=session.now)


async def delete_held(session: Session, source: str, contacts: Sequence[str]) -> None:
    """Deletes what is held of these contacts."""
    if contacts:
        await session.run(
            "DELETE FROM held WHERE tenant = :tenant AND source = :source AND contact = ANY(cast(:contacts AS text[]))",
            {"tenant": session.tenant, "source": source, "contacts": list(contacts)},
        )


class WaitingContact(NamedTuple):
    """A contact that waits for an agent."""

    source: str
    contact: str
    root: str


async def load_contacts_waiting_for(
    session: Session, person_id: UUID, after: tuple[Any, ...] | None, limit: int
) -> list[WaitingContact]:
    """Contacts that wait for an agent by one of the person's names, in order of source and contact. `after`: source and
    contact of the last row of the page before. Agents' states are left out: they wait under the agent's own name."""
    source, contact = after or ("", "")
    rows = await session.tuples(
        "SELECT DISTINCT h.source, h.contact, h.root FROM directory_external_id n "
        "JOIN held h ON h.tenant = n.tenant AND h.source = n.source AND h.waits_for @> ARRAY[n.external_id] "
        "WHERE n.tenant = :tenant AND n.person_id = :person AND h.reason = 'unknown_agent' "
        "AND (h.source, h.contact) > (:source, :contact) AND NOT EXISTS (SELECT FROM agent_name a "
        "WHERE a.tenant = h.tenant AND a.source = h.source AND a.agent = h.contact AND h.root = h.contact) "
        "ORDER BY h.source, h.contact LIMIT :limit",
        {"tenant": session.tenant, "person": person_id, "source": source, "contact": contact, "limit": limit},
    )
    return [WaitingContact(*row) for row in rows]


# Queries of the API


class HeldContact(NamedTuple):
    """A held contact, with the time since which it is held."""

    contact: str
    root: str
    reason: HoldReason
    waits_for: list[str]
    held_at: datetime


async def load_held_page(
    session: Session, source: str, reason: str | None, limit: int, after: str | None
) -> list[HeldContact]:
    """Held contacts of a source, by contact. `reason` None: for any reason; `after`: the last contact of the page before."""
    rows = await session.tuples(
        "SELECT contact, root, reason, waits_for, since FROM held WHERE tenant = :tenant AND source = :source "
        "AND (cast(:reason AS text) IS NULL OR reason = :reason) AND contact > :after ORDER BY contact LIMIT :limit",
        {"tenant": session.tenant, "source": source, "reason": reason, "limit": limit, "after": after or ""},
    )
    return [HeldContact(*row) for row in rows]


class UnknownAgent(NamedTuple):
    """An agent whom the directory does not know: the vendor's names, the number of waiting contacts, and since when the
    oldest of them is held."""

    external_id: str
    names: list[str]
    waiting: int
    held_at: datetime


async def load_unknown_agents(session: Session, source: str, limit: int) -> list[UnknownAgent]:
    """Agents whom the directory does not know; those for whom most contacts wait come first."""
    rows = await session.tuples(
        "SELECT waits_for[1] AS external_id, waits_for, count(*) AS waiting, min(since) FROM held "
        "WHERE tenant = :tenant AND source = :source AND reason = 'unknown_agent' GROUP BY waits_for "
        "ORDER BY waiting DESC, external_id LIMIT :limit",
        {"tenant": session.tenant, "source": source, "limit": limit},
    )
    return [UnknownAgent(*row) for row in rows]
