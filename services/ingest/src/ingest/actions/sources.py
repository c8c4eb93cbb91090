"""Configuring sources, by a blueprint or by the API."""

from dataclasses import replace
from typing import Any

from servicekit.audit import record_change
from servicekit.blueprints import publish_section
from servicekit.errors import Conflict, FieldProblem, Invalid
from servicekit.stored import parse_stored, require_stored
from storage import Session

from ingest.model.refusal import Refusal
from ingest.model.sources import Section, Source, SourceSpec, build_source
from ingest.store import receipts, sources
from ingest.store.sources import SourceRow

SERVICE = "ingest"
RETIRED = "retired"


async def load_source(session: Session, slug: str) -> Source | None:
    """The source, ready to read; None when it is unknown. Raises Conflict when this release cannot use what is stored of
    it."""
    row = await sources.find(session, slug)
    return None if row is None else require_stored(f"the source {slug}", _source, row)


async def find_source(session: Session, slug: str) -> Source | None:
    """As `load_source`; where that raises Conflict, it returns None and logs an error. For callers that go through
    several sources."""
    row = await sources.find(session, slug)
    return None if row is None else parse_stored(f"the source {slug}", _source, row)


def _source(row: SourceRow) -> Source:
    try:
        if row.status != RETIRED:
            return build_source(row.slug, SourceSpec.model_validate(row.spec))
        # Its receipts can still be replayed and undone.
        spec = SourceSpec.model_validate({**row.spec, "status": "paused"})
        return replace(build_source(row.slug, spec), status=RETIRED)
    except Refusal as refusal:
        raise ValueError(str(refusal)) from refusal


async def upsert_source(session: Session, slug: str, spec: SourceSpec) -> bool:
    """Creates or changes a source. Returns whether anything changed. Raises Invalid, Conflict."""
    try:
        build_source(slug, spec)
    except Refusal as refusal:
        problem = FieldProblem(pointer=refusal.field, problem=refusal.reason, cure=refusal.cure)
        raise Invalid("bad-source", f"The source `{slug}` cannot be used: {refusal}", errors=[problem]) from None
    before = await sources.find(session, slug)
    if before and before.vendor != spec.vendor:
        raise Conflict("vendor-fixed", f"The source `{slug}` is of vendor {before.vendor}. Use another name.")
    values = spec.model_dump() | {"title": spec.title or slug}
    old = before and before.spec
    if old == values:
        return False
    record_change(session, "source", slug, before=old, after=values)
    await sources.upsert(session, slug, values)
    return True


async def export_section(session: Session) -> dict[str, Any]:
    """The section `ingest` of a blueprint: all sources that are not retired, as they are now."""
    rows = [row for row in await sources.load_all(session) if row.status != RETIRED]
    return {"sources": [{"source": row.slug, **row.spec} for row in rows]}


async def edit_source(session: Session, slug: str, spec: SourceSpec) -> None:
    """As `upsert_source`; publishes the section if anything changed."""
    if await upsert_source(session, slug, spec):
        await publish_section_applied(session)


async def retire_source(session: Session, slug: str) -> bool:
    """Retires a source: it accepts no more records, and those it has stay. False when it is unknown. Raises Conflict while a
    body is received or read."""
    before = await sources.find(session, slug)
    if before is None:
        return False
    if busy := await receipts.find_open(session, slug):
        ids = ", ".join(map(str, busy))
        raise Conflict("source-busy", f"Receipts of `{slug}` are not done: {ids}. Wait until they are, or cancel them.")
    if before.status != RETIRED:
        record_change(session, "source", slug, action="retired", before=before.spec)
        await sources.upsert(session, slug, {**before.spec, "status": RETIRED})
        await publish_section_applied(session)
    return True


async def apply_section(session: Session, section: Section) -> list[FieldProblem]:
    """Creates and changes the sources of the section, or returns its problems and changes nothing. Sources that it does not
    name are unchanged."""
    problems = section.problems({row.slug: row.vendor for row in await sources.load_all(session)})
    if not problems:
        for named in section.sources:
            await upsert_source(session, named.source, SourceSpec.model_validate(named.model_dump(exclude={"source"})))
    return problems


async def publish_section_applied(session: Session, *, version: int | None = None) -> None:
    """Publishes the section as it is now, after version `version` of a blueprint; None: after an edit."""
    await publish_section(session, SERVICE, version, await export_section(session))
