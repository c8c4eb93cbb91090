"""Parts, legs and what is held."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from storage import InsertSpec, Session, lock_sql

from ingest.store.sql import to_pg_array
from ingest.store.tables import held, interaction, leg, leg_version, part

LOCK_BUCKETS = 128
MAX_SINGLE_LOCKS = 64

PARTS = InsertSpec(
    part,
    ("id", "root", "contact", "kind", "hash", "stamp", "initial", "facts", "mode", "document", "position"),
    ("tenant", "source", "receipt_id"),
)
_HEAD = tuple(column.name for column in leg.columns if column.name not in ("tenant", "source"))
LEGS = InsertSpec(
    leg,
    _HEAD,
    ("tenant", "source"),
    "ON CONFLICT (tenant, interaction_id, leg) DO UPDATE SET source = excluded.source, "
    + ", ".join(f"{name} = excluded.{name}" for name in _HEAD if name not in ("interaction_id", "leg")),
)
VERSIONS = InsertSpec(
    leg_version,
    ("interaction_id", "leg", "version", "void", "mode", "document", "position", "content"),
    ("tenant", "known_at", "receipt_id"),
)
HELD = InsertSpec(
    held,
    ("contact", "root", "reason", "waits_for"),
    ("tenant", "source", "since"),
    "ON CONFLICT (tenant, source, contact) DO UPDATE SET root = excluded.root, reason = excluded.reason, "
    "waits_for = excluded.waits_for",
)
INTERACTIONS = InsertSpec(interaction, ("id", "root"), ("tenant", "source"), "ON CONFLICT DO NOTHING")

_BUCKET = "concat_ws(' ', cast(:place AS text), n)"
_LOCK = f"""
SELECT {lock_sql("cast(:tenant AS text)", shared=True)}
UNION ALL SELECT {lock_sql(_BUCKET, shared=True)} FROM unnest(cast(:shared AS int[])) AS s(n)
UNION ALL SELECT {lock_sql(_BUCKET)} FROM unnest(cast(:own AS int[])) AS o(n)
"""  # noqa: S608


async def lock_contacts(session: Session, source: str, names: Iterable[str]) -> None:
    """Until the end of the transaction nobody else merges the interactions of these names, and nobody has the tenant's
    interactions alone.

    A few names are locked one by one, each below a shared lock of its bucket, so that small bodies seldom wait for one
    another; many by their whole buckets, because PostgreSQL has room for a bounded number of locks. All are taken in
    one order.
    """
    marks = {zlib.crc32(name.encode()) for name in names}
    buckets = sorted({mark % LOCK_BUCKETS for mark in marks})
    few = len(marks) <= MAX_SINGLE_LOCKS
    own = sorted({LOCK_BUCKETS + (mark >> 2) for mark in marks}) if few else buckets
    place = {
        "tenant": f"{session.service} {_tenant_key(session)}",
        "place": f"{session.service} contacts {session.tenant} {source}",
    }
    await session.run(_LOCK, {**place, "shared": to_pg_array(buckets if few else ()), "own": to_pg_array(own)})


async def lock_tenant_exclusive(session: Session) -> None:
    """Waits for every merge of the tenant under way, and keeps new ones out until the end of the transaction."""
    await session.lock_key(_tenant_key(session))


def _tenant_key(session: Session) -> str:
    return f"interactions {session.tenant}"


class PartRow(msgspec.Struct):
    """A stored part; `facts` is the JSON of what its kind says."""

    id: UUID
    root: str
    contact: str
    kind: str
    hash: UUID
    stamp: int | None
    initial: str | None
    facts: msgspec.Raw
    mode: str
    receipt_id: UUID


class LegHead(msgspec.Struct):
    """The current version of a leg."""

    root: str
    leg: int
    version: int
    void: bool
    mode: str
    hash: UUID
    agent_id: UUID | None


class HeldRow(msgspec.Struct):
    contact: str
    root: str
    reason: str
    waits_for: list[str]


@dataclass(frozen=True)
class RelatedParts:
    """What is known of some interactions; the parts in order of arrival."""

    parts: list[PartRow]
    heads: list[LegHead]
    held: list[HeldRow]


_PARTS_OF = msgspec.json.Decoder(list[PartRow]).decode
_HEADS_OF = msgspec.json.Decoder(list[LegHead]).decode
_HELD_OF = msgspec.json.Decoder(list[HeldRow]).decode
# One index look-up a contact and a root: without statistics (a young table) a join would read all of the tenant's rows.
_LOAD_RELATED = """
WITH roots AS MATERIALIZED (
    SELECT p.root FROM unnest(cast(:contacts AS text[])) AS c(contact) CROSS JOIN LATERAL (
        SELECT root FROM part WHERE tenant = :tenant AND source = :source AND contact = c.contact OFFSET 0) AS p
    UNION SELECT unnest(cast(:contacts AS text[])))
SELECT
    (SELECT coalesce(json_agg(p ORDER BY p.seq), '[]')::text FROM roots CROSS JOIN LATERAL (
        SELECT seq, id, root, contact, kind, hash, stamp, initial, facts, mode, receipt_id
        FROM part WHERE tenant = :tenant AND source = :source AND root = roots.root OFFSET 0) AS p) AS parts,
    (SELECT coalesce(json_agg(l), '[]')::text FROM roots CROSS JOIN LATERAL (
        SELECT root, leg, version, void, mode, hash, agent_id
        FROM leg WHERE tenant = :tenant AND source = :source AND root = roots.root OFFSET 0) AS l) AS heads,
    (SELECT coalesce(json_agg(h), '[]')::text FROM roots CROSS JOIN LATERAL (
        SELECT contact, root, reason, waits_for
        FROM held WHERE tenant = :tenant AND source = :source AND root = roots.root OFFSET 0) AS h) AS held
"""


async def load_related(session: Session, source: str, contacts: Sequence[str]) -> RelatedParts:
    """The parts, legs and held contacts of the interactions that these contacts belong to or begin, or did."""
    place = {"tenant": session.tenant, "source": source, "contacts": to_pg_array(contacts)}
    (found,) = await session.rows(_LOAD_RELATED, place)
    return RelatedParts(_PARTS_OF(found["parts"]), _HEADS_OF(found["heads"]), _HELD_OF(found["held"]))


async def find_source_and_root(session: Session, interaction_id: UUID) -> dict[str, Any] | None:
    """Source and root of an interaction."""
    return await session.row(
        "SELECT source, root FROM interaction WHERE tenant = :tenant AND id = :id",
        {"tenant": session.tenant, "id": interaction_id},
    )


async def load_parts(session: Session, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT id, source, root, contact, initial FROM part WHERE tenant = :tenant AND id = ANY(cast(:ids AS uuid[]))",
        {"tenant": session.tenant, "ids": list(ids)},
    )


async def remove_parts(session: Session, ids: Sequence[UUID]) -> None:
    if ids:
        await session.run(
            "DELETE FROM part WHERE tenant = :tenant AND id = ANY(cast(:ids AS uuid[]))",
            {"tenant": session.tenant, "ids": list(ids)},
        )


async def move_parts(session: Session, source: str, roots: dict[str, str]) -> None:
    """`roots`: by contact, the interaction that its parts belong to from now on."""
    if roots:
        await session.run(
            "UPDATE part SET root = m.root FROM unnest(cast(:contacts AS text[]), cast(:roots AS text[])) "
            "AS m(contact, root) WHERE part.tenant = :tenant AND part.source = :source AND part.contact = m.contact",
            {"tenant": session.tenant, "source": source, "contacts": list(roots), "roots": list(roots.values())},
        )


async def load_version_locations(
    session: Session, version_keys: Sequence[tuple[UUID, int, int]]
) -> list[dict[str, Any]]:
    """Where the content of these versions lies, in no order; `places`: (interaction, leg, version)."""
    if not version_keys:
        return []
    ids, numbers, versions = zip(*version_keys, strict=True)
    return await session.rows(
        "SELECT v.interaction_id, v.leg, v.document, v.position, v.content::text AS content FROM leg_version v "
        "JOIN unnest(cast(:ids AS uuid[]), cast(:legs AS int[]), cast(:versions AS int[])) AS p(id, leg, version) "
        "ON v.interaction_id = p.id AND v.leg = p.leg AND v.version = p.version WHERE v.tenant = :tenant",
        {"tenant": session.tenant, "ids": list(ids), "legs": list(numbers), "versions": list(versions)},
    )


async def find_unused_documents(session: Session, ids: Sequence[str]) -> list[str]:
    """Documents of versions that were written before a transaction that then failed."""
    return await session.scalars(
        "SELECT d FROM unnest(cast(:ids AS text[])) AS o(d) WHERE NOT EXISTS (SELECT FROM leg_version "
        "WHERE tenant = :tenant AND document = cast(d AS uuid) AND position = 0)",
        {"tenant": session.tenant, "ids": list(ids)},
    )


async def refresh_statistics(session: Session) -> None:
    """Tells the planner how the tables grew, long before autovacuum would."""
    await session.run(
        "ANALYZE part (tenant, id, source, root, contact, kind), leg (tenant, interaction_id, source, root, agent_id), "
        "held (tenant, source, contact, root), record (tenant, receipt_id, number, part_id)"
    )


async def load_held(session: Session, source: str, roots: Sequence[str]) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT contact, root, reason, waits_for FROM held "
        "WHERE tenant = :tenant AND source = :source AND root = ANY(cast(:roots AS text[]))",
        {"tenant": session.tenant, "source": source, "roots": list(roots)},
    )


async def upsert_held(session: Session, source: str, rows: Sequence[dict[str, Any]]) -> None:
    await session.insert_rows(HELD, rows, source=source, since=session.now)


async def delete_held(session: Session, source: str, contacts: Sequence[str]) -> None:
    if contacts:
        await session.run(
            "DELETE FROM held WHERE tenant = :tenant AND source = :source AND contact = ANY(cast(:contacts AS text[]))",
            {"tenant": session.tenant, "source": source, "contacts": list(contacts)},
        )


async def load_contacts_waiting_for(
    session: Session, person_id: UUID, after: tuple[Any, ...] | None, limit: int
) -> list[dict[str, Any]]:
    """Contacts that wait for an agent by one of the person's names, in order of source and contact. Agents' states wait
    under the agent's own name, and are not among them."""
    source, contact = after or ("", "")
    return await session.rows(
        "SELECT DISTINCT h.source, h.contact, h.root FROM directory_external_id n "
        "JOIN held h ON h.tenant = n.tenant AND h.source = n.source AND h.waits_for @> ARRAY[n.external_id] "
        "WHERE n.tenant = :tenant AND n.person_id = :person AND h.reason = 'unknown_agent' "
        "AND (h.source, h.contact) > (:source, :contact) AND NOT EXISTS (SELECT FROM agent_name a "
        "WHERE a.tenant = h.tenant AND a.source = h.source AND a.agent = h.contact AND h.root = h.contact) "
        "ORDER BY h.source, h.contact LIMIT :limit",
        {"tenant": session.tenant, "person": person_id, "source": source, "contact": contact, "limit": limit},
    )


async def load_agent_legs(
    session: Session, agent_id: UUID | None, after: tuple[Any, ...] | None, limit: int
) -> list[dict[str, Any]]:
    """Legs that hold, in order of time; None: those without agent."""
    started_at, interaction_id, number = after or ("-infinity", UUID(int=0), 0)
    of_agent = "agent_id IS NULL" if agent_id is None else "agent_id = :agent"
    return await session.rows(
        "SELECT source, root, interaction_id, leg, agent_id, started_at, workday FROM leg "  # noqa: S608
        f"WHERE tenant = :tenant AND {of_agent} AND NOT void AND (started_at, interaction_id, leg) > "
        "(cast(:started_at AS timestamptz), cast(:id AS uuid), :leg) "
        "ORDER BY started_at, interaction_id, leg LIMIT :limit",
        {"tenant": session.tenant, "started_at": started_at, "id": interaction_id, "leg": number, "limit": limit}
        | ({} if agent_id is None else {"agent": agent_id}),
    )


# Reading, for people


async def find(session: Session, external_id: str, source: str | None) -> list[dict[str, Any]]:
    """Source and root of the interactions that this contact belongs to or begins, or did."""
    return await session.rows(
        "SELECT source, root FROM part WHERE tenant = :tenant AND contact = :id "
        "AND source IN (SELECT slug FROM source WHERE tenant = :tenant) "
        "AND (cast(:source AS text) IS NULL OR source = :source) "
        "UNION SELECT source, root FROM leg WHERE tenant = :tenant AND external_id = :id "
        "AND (cast(:source AS text) IS NULL OR source = :source) "
        "UNION SELECT p.source, p.root FROM source s JOIN part p ON p.tenant = s.tenant AND p.source = s.slug "
        "AND p.root = :id WHERE s.tenant = :tenant AND (cast(:source AS text) IS NULL OR s.slug = :source) "
        "ORDER BY source, root LIMIT 100",
        {"tenant": session.tenant, "id": external_id, "source": source},
    )


async def load_legs(session: Session, ids: Sequence[UUID]) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT interaction_id, l.leg, version, l.void, l.mode, agent_id, workday, document, position, v.content::text AS content FROM leg l "
        "JOIN leg_version v USING (tenant, interaction_id, leg, version) "
        "WHERE tenant = :tenant AND interaction_id = ANY(cast(:ids AS uuid[])) ORDER BY interaction_id, l.leg",
        {"tenant": session.tenant, "ids": list(ids)},
    )


async def load_versions(session: Session, interaction_id: UUID) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT leg, version, void, mode, known_at, receipt_id, document, position, content::text AS content FROM leg_version "
        "WHERE tenant = :tenant AND interaction_id = :id ORDER BY leg, version",
        {"tenant": session.tenant, "id": interaction_id},
    )


async def load_interaction_parts(session: Session, source: str, root: str) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT id, contact, kind, stamp, mode, receipt_id, document, position FROM part "
        "WHERE tenant = :tenant AND source = :source AND root = :root ORDER BY seq",
        {"tenant": session.tenant, "source": source, "root": root},
    )


async def load_held_page(
    session: Session, source: str, reason: str | None, limit: int, after: str | None
) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT contact, root, reason, waits_for, since AS held_at FROM held WHERE tenant = :tenant AND source = :source "
        "AND (cast(:reason AS text) IS NULL OR reason = :reason) AND contact > :after ORDER BY contact LIMIT :limit",
        {"tenant": session.tenant, "source": source, "reason": reason, "limit": limit, "after": after or ""},
    )


async def load_unknown_agents(session: Session, source: str, limit: int) -> list[dict[str, Any]]:
    """Agents' names that the directory does not know, with how much waits for each, the most first."""
    return await session.rows(
        "SELECT waits_for[1] AS external_id, waits_for AS names, count(*) AS waiting, min(since) AS held_at FROM held "
        "WHERE tenant = :tenant AND source = :source AND reason = 'unknown_agent' GROUP BY waits_for "
        "ORDER BY waiting DESC, external_id LIMIT :limit",
        {"tenant": session.tenant, "source": source, "limit": limit},
    )
