"""Queries of the records of receipts: the verdicts on them, and the parts that they are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NotRequired, TypedDict
from uuid import UUID

from storage import InsertSpec, Session

from ingest.store.receipts import ReceiptRow, Verdict
from ingest.store.tables import record

MAX_PROBLEMS = 100
BODY_KIND = "body"
"""The kind of the record that stands for a whole body of which nothing more was read."""


class VerdictColumns(TypedDict):
    """The verdict on a record, and the part that it is. `field`, `reason` and `cure` say why it is held or rejected."""

    verdict: Verdict
    field: NotRequired[str | None]
    reason: NotRequired[str]
    cure: NotRequired[str | None]
    contact: NotRequired[str]
    kind: NotRequired[str]
    part_id: NotRequired[UUID]


class InsertRecord(VerdictColumns):
    """A judged record: `number` and `line` count from 1, `position` in its raw document from 0."""

    number: int
    line: int
    position: int


RECORDS = InsertSpec(
    record,
    ("number", "line", "verdict", "field", "reason", "cure", "contact", "kind", "part_id", "position"),
    ("tenant", "receipt_id", "document"),
)


class JudgedRecord(NamedTuple):
    """The verdict on a record, and the part that it was read as, if any."""

    number: int
    verdict: Verdict
    part_id: UUID | None


async def load_document_verdicts(session: Session, receipt_id: UUID, document: str) -> list[JudgedRecord]:
    """The verdicts on the records of one raw document, by number."""
    rows = await session.tuples(
        "SELECT number, verdict, part_id FROM record "
        "WHERE tenant = :tenant AND receipt_id = :id AND document = :document ORDER BY number",
        {"tenant": session.tenant, "id": receipt_id, "document": document},
    )
    return [JudgedRecord(*row) for row in rows]


async def restore_verdicts(session: Session, receipt_id: UUID, document: str, before: Iterable[JudgedRecord]) -> None:
    """After records were judged again: those that are read as the same part as before get their first verdict back,
    `corrected` or `unchanged`."""
    restored = [row for row in before if row.part_id and row.verdict in ("corrected", "unchanged")]
    if restored:
        await session.run(
            "UPDATE record SET verdict = b.verdict FROM unnest(cast(:numbers AS int[]), cast(:verdicts AS text[]), "
            "cast(:parts AS uuid[])) AS b(number, verdict, part_id) WHERE record.tenant = :tenant "
            "AND record.receipt_id = :id AND record.document = :document AND record.number = b.number "
            "AND record.part_id = b.part_id AND record.verdict = 'accepted'",
            {
                "tenant": session.tenant,
                "id": receipt_id,
                "document": document,
                "numbers": [row.number for row in restored],
                "verdicts": [row.verdict for row in restored],
                "parts": [row.part_id for row in restored],
            },
        )


class RecordRow(NamedTuple):
    """A judged record, as the API shows it."""

    number: int
    line: int
    verdict: Verdict
    field: str | None
    reason: str | None
    cure: str | None
    contact: str | None
    kind: str | None


_RECORD_COLUMNS = ", ".join(RecordRow._fields)


async def load_records(
    session: Session, receipt_id: UUID, verdict: Verdict | None, limit: int, after: int | None
) -> list[RecordRow]:
    """Records of a receipt, by number. `verdict` None: with any verdict; `after`: the last number of the page before."""
    rows = await session.tuples(
        f"SELECT {_RECORD_COLUMNS} FROM record "  # noqa: S608
        "WHERE tenant = :tenant AND receipt_id = :id AND number > :after "
        "AND (cast(:verdict AS text) IS NULL OR verdict = :verdict) ORDER BY number LIMIT :limit",
        {"tenant": session.tenant, "id": receipt_id, "verdict": verdict, "limit": limit, "after": after or 0},
    )
    return [RecordRow(*row) for row in rows]


async def load_problems(session: Session, row: ReceiptRow) -> list[RecordRow]:
    """The first rejected or held records of a receipt, at most `MAX_PROBLEMS`; before them the record of kind `body`, if
    any."""
    if not row.rejected and not row.held:
        return []
    rows = await session.tuples(_PROBLEMS, {"tenant": session.tenant, "id": row.id, "limit": MAX_PROBLEMS})
    return [RecordRow(*each) for each in rows]


_PROBLEM = f"""
SELECT {_RECORD_COLUMNS} FROM record
WHERE tenant = :tenant AND receipt_id = :id AND verdict IN ('rejected', 'held') ORDER BY number
"""  # noqa: S608
# The record of kind `body` is the last one.
_PROBLEMS = f"""
SELECT * FROM (SELECT * FROM (({_PROBLEM} DESC LIMIT 1)) AS last WHERE kind = '{BODY_KIND}') AS whole UNION ALL
SELECT * FROM (SELECT * FROM ({_PROBLEM} LIMIT :limit) AS first WHERE kind IS DISTINCT FROM '{BODY_KIND}') AS others
"""  # noqa: S608


async def delete_records(session: Session, receipt_id: UUID, document: str) -> None:
    """Deletes the verdicts on the records of one raw document."""
    await session.run(
        "DELETE FROM record WHERE tenant = :tenant AND receipt_id = :id AND document = :document",
        {"tenant": session.tenant, "id": receipt_id, "document": document},
    )


# A part stays as long as a receipt contains it that is neither undone nor being undone.
_EXCLUSIVE_PARTS = """
SELECT DISTINCT r.part_id FROM record r
WHERE r.tenant = :tenant AND r.receipt_id = :id AND r.part_id IS NOT NULL AND r.document = :document
AND NOT EXISTS (
    SELECT FROM record o JOIN receipt x ON x.tenant = o.tenant AND x.id = o.receipt_id
    WHERE o.tenant = r.tenant AND o.part_id = r.part_id AND x.status NOT IN ('undoing', 'undone')
    AND (o.receipt_id <> r.receipt_id OR o.document <> :document))
ORDER BY r.part_id
"""


async def find_exclusive_parts(session: Session, receipt_id: UUID, document: str) -> list[UUID]:
    """Parts that only this raw document contains, by id."""
    return await session.scalars(_EXCLUSIVE_PARTS, {"tenant": session.tenant, "id": receipt_id, "document": document})


_EXCLUSIVE_PARTS_PAGE = """
WITH page AS MATERIALIZED (
    SELECT number, part_id FROM record WHERE tenant = :tenant AND receipt_id = :id AND number > :after
    ORDER BY number LIMIT :limit)
SELECT (SELECT count(*) FROM page) AS records, (SELECT max(number) FROM page) AS last, ARRAY(
    SELECT DISTINCT p.part_id FROM page p WHERE p.part_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM record o JOIN receipt x ON x.tenant = o.tenant AND x.id = o.receipt_id
        WHERE o.tenant = :tenant AND o.part_id = p.part_id AND o.receipt_id <> :id
        AND x.status NOT IN ('undoing', 'undone'))
    ORDER BY p.part_id) AS parts
"""


@dataclass(frozen=True)
class ExclusivePartsPage:
    """Parts that only one receipt contains, from a page of its records. `records`: the size of the page; `last`: the number
    of its last record."""

    records: int
    last: int | None
    parts: list[UUID]


async def load_exclusive_parts_page(session: Session, receipt_id: UUID, after: int, limit: int) -> ExclusivePartsPage:
    """The parts that only this receipt contains, from its records after number `after`."""
    parameters = {"tenant": session.tenant, "id": receipt_id, "after": after, "limit": limit}
    ((records, last, parts),) = await session.tuples(_EXCLUSIVE_PARTS_PAGE, parameters)
    return ExclusivePartsPage(records, last, parts)


_ACCEPT_HELD = """
WITH freed AS (
    UPDATE record r SET verdict = 'accepted', field = NULL, reason = NULL, cure = NULL FROM part p
    WHERE p.tenant = :tenant AND p.source = :source AND p.contact = ANY(cast(:contacts AS text[]))
    AND r.tenant = p.tenant AND r.part_id = p.id AND r.verdict = 'held' RETURNING r.receipt_id),
counted AS (SELECT receipt_id, count(*) AS n FROM freed GROUP BY receipt_id)
UPDATE receipt SET held = held - n, accepted = accepted + n FROM counted
WHERE receipt.tenant = :tenant AND receipt.id = counted.receipt_id
"""


async def accept_held(session: Session, source: str, contacts: Sequence[str]) -> None:
    """Sets the verdict `accepted` on the held records of these contacts."""
    if contacts:
        await session.run(_ACCEPT_HELD, {"tenant": session.tenant, "source": source, "contacts": list(contacts)})


_ACCEPT_HELD_AGENTS = """
WITH freed AS (
    UPDATE record SET verdict = 'accepted', field = NULL, reason = NULL, cure = NULL
    WHERE tenant = :tenant AND kind = 'agent_event' AND contact = ANY(cast(:agents AS text[])) AND verdict = 'held'
    AND receipt_id IN (SELECT id FROM receipt WHERE tenant = :tenant AND source = :source) RETURNING receipt_id),
counted AS (SELECT receipt_id, count(*) AS n FROM freed GROUP BY receipt_id)
UPDATE receipt SET held = held - n, accepted = accepted + n FROM counted
WHERE receipt.tenant = :tenant AND receipt.id = counted.receipt_id
"""


async def accept_held_agents(session: Session, source: str, agents: Sequence[str]) -> None:
    """Sets the verdict `accepted` on the held notices of these agents' states."""
    if agents:
        await session.run(_ACCEPT_HELD_AGENTS, {"tenant": session.tenant, "source": source, "agents": list(agents)})
