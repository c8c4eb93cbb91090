"""Sources are configured, by a blueprint or directly."""

from dataclasses import replace
from typing import Any

from contracts.blueprints import BlueprintPublished
from servicekit.audit import record_change
from servicekit.blueprints import publish_section, reject_section
from servicekit.errors import Conflict, FieldProblem, Invalid
from servicekit.stored import parse_stored, require_stored
from storage import Session

from ingest.model.refusal import Refusal
from ingest.model.sources import Source, SourceSpec, build_source, parse_section
from ingest.store import receipts, sources

SERVICE = "ingest"
RETIRED = "retired"


async def load_source(session: Session, slug: str) -> Source | None:
    """None when there is none. Raises Conflict when what is stored of it cannot be used any more."""
    row = await sources.find(session, slug)
    return None if row is None else require_stored(f"the source {slug}", _source, row)


async def find_source(session: Session, slug: str) -> Source | None:
    """For whoever goes through several: also None, with an error in the log, where `load_source` raises."""
    row = await sources.find(session, slug)
    return None if row is None else parse_stored(f"the source {slug}", _source, row)


def _source(row: dict[str, Any]) -> Source:
    values = {name: row[name] for name in SourceSpec.model_fields}
    try:
        if row["status"] != RETIRED:
            return build_source(row["slug"], SourceSpec.model_validate(values))
        # What came of it can still be read again and undone.
        spec = SourceSpec.model_validate({**values, "status": "paused"})
        return replace(build_source(row["slug"], spec), status=RETIRED)
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
    if before and before["vendor"] != spec.vendor:
        raise Conflict("vendor-fixed", f"The source `{slug}` is of vendor {before['vendor']}. Use another name.")
    values = spec.model_dump() | {"title": spec.title or slug}
    old = before and {name: before[name] for name in values}
    if old == values:
        return False
    record_change(session, "source", slug, before=old, after=values)
    await sources.upsert(session, {"slug": slug, **values})
    return True


async def export_section(session: Session) -> dict[str, Any]:
    """The section `ingest` of a blueprint, as it now is."""
    rows = [row for row in await sources.load_all(session) if row["status"] != RETIRED]
    return {
        "sources": [{"source": row["slug"], **{name: row[name] for name in SourceSpec.model_fields}} for row in rows]
    }


async def edit_source(session: Session, slug: str, spec: SourceSpec) -> None:
    if await upsert_source(session, slug, spec):
        await publish_section(session, SERVICE, None, await export_section(session))


async def retire_source(session: Session, slug: str) -> bool:
    """It takes nothing more; what came of it stays. False without one. Raises Conflict while something is being received."""
    before = await sources.find(session, slug)
    if before is None:
        return False
    if busy := await receipts.find_open(session, slug):
        told = ", ".join(map(str, busy))
        raise Conflict(
            "source-busy", f"Receipts of `{slug}` are not done: {told}. Wait until they are, or cancel them."
        )
    if before["status"] != RETIRED:
        old = {name: before[name] for name in SourceSpec.model_fields}
        record_change(session, "source", slug, action="retired", before=old)
        await sources.upsert(session, {**before, "status": RETIRED, "updated_at": session.now})
        await publish_section(session, SERVICE, None, await export_section(session))
    return True


async def apply_blueprint(session: Session, blueprint: BlueprintPublished) -> None:
    """All sources of the section or none; sources that it does not name stay as they are."""
    present = {row["slug"]: row["vendor"] for row in await sources.load_all(session)}
    wanted, problems = parse_section(blueprint.sections[SERVICE], present)
    if problems:
        reject_section(session, blueprint.version, problems)
        return
    for named in wanted.sources:
        await upsert_source(session, named.source, SourceSpec.model_validate(named.model_dump(exclude={"source"})))
    await publish_section(session, SERVICE, blueprint.version, await export_section(session))
