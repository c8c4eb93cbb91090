"""Queries of parts and legs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import msgspec
from contracts import Mode
from storage import InsertSpec, Session

from ingest.store.held_contacts import HeldRow
from ingest.store.sql import to_pg_array
from ingest.store.tables import interaction, leg, leg_version, part

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
INTERACTIONS = InsertSpec(interaction, ("id", "root"), ("tenant", "source"), "ON CONFLICT DO NOTHING")


# Rows to insert. They are dicts, because a bulk insert encodes them as JSON.


class InsertInteraction(TypedDict):
    """A new interaction."""

    id: UUID
    root: str


class InsertPart(TypedDict):
    """A new part. `document` and `position` locate its raw record."""

    id: UUID
    root: str
    contact: str
    kind: str
    hash: UUID
    stamp: int | None
    initial: str | None
    facts: msgspec.Struct
    mode: Mode
    document: str
    position: int


class LegVersionKey(TypedDict):
    """A version of a leg, and how it counts."""

    interaction_id: UUID
    leg: int
    version: int
    void: bool
    mode: str


class UpsertLeg(LegVersionKey):
    """The current version of a leg. `hash` is that of its content."""

    root: str
    external_id: str
    hash: UUID
    agent_id: UUID | None
    started_at: datetime
    workday: date


class InsertContent(TypedDict):
    """Where the content of a leg's version lies: `position` in `document`, or `content` in the row itself."""

    document: NotRequired[UUID]
    position: NotRequired[int]
    content: NotRequired[msgspec.Raw]


class InsertLegVersion(LegVersionKey, InsertContent):
    """A new version of a leg."""


class PartRow(msgspec.Struct):
    """A stored part. `facts`: JSON of `Contact`, `Analysis` or `ContactEvent`, as its kind says."""

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


@dataclass(frozen=True)
class RelatedParts:
    """The stored rows of some interactions. Parts are in order of arrival."""

    parts: list[PartRow]
    heads: list[LegHead]
    held: list[HeldRow]


_decode_parts = msgspec.json.Decoder(list[PartRow]).decode
_decode_heads = msgspec.json.Decoder(list[LegHead]).decode
_decode_held = msgspec.json.Decoder(list[HeldRow]).decode
# One index look-up for each contact and root: in a young table without statistics, a join would read all rows of the
# tenant.
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
    parameters = {"tenant": session.tenant, "source": source, "contacts": to_pg_array(contacts)}
    ((parts, heads, held),) = await session.tuples(_LOAD_RELATED, parameters)
    return RelatedParts(_decode_parts(parts), _decode_heads(heads), _decode_held(held))


class InteractionKey(NamedTuple):
    """An interaction by its source and the contact that it began with."""

    source: str
    root: str


async def find_interaction_key(session: Session, interaction_id: UUID) -> InteractionKey | None:
    """Source and root of an interaction; None when it is unknown."""
    rows = await session.tuples(
        "SELECT source, root FROM interaction WHERE tenant = :tenant AND id = :id",
        {"tenant": session.tenant, "id": interaction_id},
    )
    return InteractionKey(*rows[0]) if rows else None


class PartKey(NamedTuple):
    """The contact of a part, and the root of its interaction."""

    contact: str
    root: str


async def load_part_keys(session: Session, ids: Sequence[UUID]) -> list[PartKey]:
    """The keys of these parts, in no order; unknown ids are left out."""
    rows = await session.tuples(
        "SELECT contact, root FROM part WHERE tenant = :tenant AND id = ANY(cast(:ids AS uuid[]))",
        {"tenant": session.tenant, "ids": list(ids)},
    )
    return [PartKey(*row) for row in rows]


async def delete_parts(session: Session, ids: Sequence[UUID]) -> None:
    """Deletes parts by id."""
    if ids:
        await session.run(
            "DELETE FROM part WHERE tenant = :tenant AND id = ANY(cast(:ids AS uuid[]))",
            {"tenant": session.tenant, "ids": list(ids)},
        )


async def move_parts(session: Session, source: str, roots: dict[str, str]) -> None:
    """Moves all parts of some contacts to other interactions. `roots`: contact → the root of the new interaction."""
    if roots:
        await session.run(
            "UPDATE part SET root = m.root FROM unnest(cast(:contacts AS text[]), cast(:roots AS text[])) "
            "AS m(contact, root) WHERE part.tenant = :tenant AND part.source = :source AND part.contact = m.contact",
            {"tenant": session.tenant, "source": source, "contacts": list(roots), "roots": list(roots.values())},
        )


class VersionContentRow(NamedTuple):
    """Where the content of a leg's version lies; a `leg_contents.ContentLocation`."""

    interaction_id: UUID
    leg: int
    document: UUID | None
    position: int | None
    content: str | None


async def load_version_contents(
    session: Session, version_keys: Sequence[tuple[UUID, int, int]]
) -> list[VersionContentRow]:
    """Where the contents of these versions lie, in no order. `version_keys`: (interaction, leg, version)."""
    if not version_keys:
        return []
    ids, numbers, versions = zip(*version_keys, strict=True)
    rows = await session.tuples(
        "SELECT v.interaction_id, v.leg, v.document, v.position, v.content::text FROM leg_version v "
        "JOIN unnest(cast(:ids AS uuid[]), cast(:legs AS int[]), cast(:versions AS int[])) AS p(id, leg, version) "
        "ON v.interaction_id = p.id AND v.leg = p.leg AND v.version = p.version WHERE v.tenant = :tenant",
        {"tenant": session.tenant, "ids": list(ids), "legs": list(numbers), "versions": list(versions)},
    )
    return [VersionContentRow(*row) for row in rows]


async def find_unused_documents(session: Session, ids: Sequence[str]) -> list[str]:
    """Those of these documents that no version names: the transaction that wrote them failed."""
    return await session.scalars(
        "SELECT d FROM unnest(cast(:ids AS text[])) AS o(d) WHERE NOT EXISTS (SELECT FROM leg_version "
        "WHERE tenant = :tenant AND document = cast(d AS uuid) AND position = 0)",
        {"tenant": session.tenant, "ids": list(ids)},
    )


async def refresh_statistics(session: Session) -> None:
    """Analyses the tables, so that the planner knows their size before autovacuum runs."""
    await session.run(
        "ANALYZE part (tenant, id, source, root, contact, kind), leg (tenant, interaction_id, source, root, agent_id), "
        "held (tenant, source, contact, root), record (tenant, receipt_id, number, part_id)"
    )


class AgentLeg(NamedTuple):
    """The current version of a leg, with its agent and workday."""

    source: str
    root: str
    interaction_id: UUID
    leg: int
    agent_id: UUID | None
    started_at: datetime
    workday: date


async def load_agent_legs(
    session: Session, agent_id: UUID | None, after: tuple[Any, ...] | None, limit: int
) -> list[AgentLeg]:
    """An agent's legs that are not void, by start; `agent_id` None: legs without agent. `after`: start, interaction and
    number of the last leg of the page before."""
    started_at, interaction_id, number = after or ("-infinity", UUID(int=0), 0)
    of_agent = "agent_id IS NULL" if agent_id is None else "agent_id = :agent"
    rows = await session.tuples(
        "SELECT source, root, interaction_id, leg, agent_id, started_at, workday FROM leg "  # noqa: S608
        f"WHERE tenant = :tenant AND {of_agent} AND NOT void AND (started_at, interaction_id, leg) > "
        "(cast(:started_at AS timestamptz), cast(:id AS uuid), :leg) "
        "ORDER BY started_at, interaction_id, leg LIMIT :limit",
        {"tenant": session.tenant, "started_at": started_at, "id": interaction_id, "leg": number, "limit": limit}
        | ({} if agent_id is None else {"agent": agent_id}),
    )
    return [AgentLeg(*row) for row in rows]


# Queries of the API


async def find_by_contact(session: Session, external_id: str, source: str | None) -> list[InteractionKey]:
    """The interactions that this contact belongs to or began, now or before; 100 at most. `source` None: of any source."""
    rows = await session.tuples(
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
    return [InteractionKey(*row) for row in rows]


class LegRow(NamedTuple):
    """The current version of a leg, with the location of its content; a `leg_contents.ContentLocation`."""

    interaction_id: UUID
    leg: int
    version: int
    void: bool
    mode: Mode
    agent_id: UUID | None
    workday: date
    document: UUID | None
    position: int | None
    content: str | None


async def load_legs(session: Session, ids: Sequence[UUID]) -> list[LegRow]:
    """The current versions of all legs of these interactions, by interaction and number."""
    rows = await session.tuples(
        "SELECT interaction_id, l.leg, version, l.void, l.mode, agent_id, workday, document, position, v.content::text "
        "FROM leg l JOIN leg_version v USING (tenant, interaction_id, leg, version) "
        "WHERE tenant = :tenant AND interaction_id = ANY(cast(:ids AS uuid[])) ORDER BY interaction_id, l.leg",
        {"tenant": session.tenant, "ids": list(ids)},
    )
    return [LegRow(*row) for row in rows]


class LegVersionRow(NamedTuple):
    """A version of a leg, with the location of its content; a `leg_contents.ContentLocation`. `receipt_id` None: a change
    of the directory caused it."""

    leg: int
    version: int
    void: bool
    mode: Mode
    known_at: datetime
    receipt_id: UUID | None
    document: UUID | None
    position: int | None
    content: str | None


async def load_versions(session: Session, interaction_id: UUID) -> list[LegVersionRow]:
    """All versions of an interaction's legs, by leg and version."""
    rows = await session.tuples(
        "SELECT leg, version, void, mode, known_at, receipt_id, document, position, content::text FROM leg_version "
        "WHERE tenant = :tenant AND interaction_id = :id ORDER BY leg, version",
        {"tenant": session.tenant, "id": interaction_id},
    )
    return [LegVersionRow(*row) for row in rows]


class PartLocation(NamedTuple):
    """A part, with the location of its raw record. `stamp`: milliseconds since 1970."""

    contact: str
    kind: str
    stamp: int | None
    mode: Mode
    receipt_id: UUID
    document: str
    position: int


async def load_interaction_parts(session: Session, source: str, root: str) -> list[PartLocation]:
    """The parts of an interaction, in order of arrival."""
    rows = await session.tuples(
        "SELECT contact, kind, stamp, mode, receipt_id, document, position FROM part "
        "WHERE tenant = :tenant AND source = :source AND root = :root ORDER BY seq",
        {"tenant": session.tenant, "source": source, "root": root},
    )
    return [PartLocation(*row) for row in rows]
