"""Sources are configured, by a blueprint or directly."""

from typing import Any

from contracts.blueprints import BlueprintPublished, SectionApplied, SectionProblem, SectionRejected
from pydantic import ValidationError
from servicekit.errors import Conflict, FieldProblem, Invalid
from servicekit.shapes import shape_problems
from storage import Session

from ingest.model.refusal import Refusal
from ingest.model.sources import Section, Source, SourceSpec, source_of
from ingest.store import sources

SERVICE = "ingest"


async def load_source(session: Session, slug: str) -> Source | None:
    row = await sources.find(session, slug)
    if row is None:
        return None
    return source_of(slug, SourceSpec.model_validate({name: row[name] for name in SourceSpec.model_fields}))


async def put_source(session: Session, slug: str, spec: SourceSpec) -> bool:
    """Creates or changes a source. Returns whether anything changed. Raises Invalid, Conflict."""
    try:
        source_of(slug, spec)
    except Refusal as refusal:
        problem = FieldProblem(pointer=refusal.field, problem=refusal.reason, cure=refusal.cure)
        raise Invalid("bad-source", f"The source `{slug}` cannot be used: {refusal}", errors=[problem]) from None
    before = await sources.find(session, slug)
    if before and before["vendor"] != spec.vendor:
        raise Conflict("vendor-fixed", f"The source `{slug}` is of vendor {before['vendor']}. Use another name.")
    values = spec.model_dump() | {"title": spec.title or slug}
    if before and all(before[name] == value for name, value in values.items()):
        return False
    await sources.keep(session, {"slug": slug, **values})
    return True


async def section(session: Session) -> dict[str, Any]:
    """The section `ingest` of a blueprint, as it now is."""
    rows = await sources.every(session)
    return {
        "sources": [{"source": row["slug"], **{name: row[name] for name in SourceSpec.model_fields}} for row in rows]
    }


async def edit_source(session: Session, slug: str, spec: SourceSpec) -> None:
    if await put_source(session, slug, spec):
        session.emit(SectionApplied(service=SERVICE, version=None, content=await section(session)))


async def apply_blueprint(session: Session, blueprint: BlueprintPublished) -> None:
    """All sources of the section or none; sources that it does not name stay as they are."""
    content = blueprint.sections[SERVICE]
    problems: list[SectionProblem] = []
    try:
        wanted = Section.model_validate(content).sources
    except ValidationError as error:
        wanted = []
        problems += [
            SectionProblem(pointer=each.pointer, problem=each.problem, cure=each.cure)
            for each in shape_problems(error, content, Section)
        ]
    existing = {row["slug"]: row["vendor"] for row in await sources.every(session)}
    seen: set[str] = set()
    for index, named in enumerate(wanted):
        at = f"/sources/{index}"
        if named.source in seen:
            problems.append(
                SectionProblem(
                    pointer=f"{at}/source", problem="This source occurs twice.", cure="Give one of them another name."
                )
            )
        seen.add(named.source)
        if existing.get(named.source, named.vendor) != named.vendor:
            reason = f"The source is of vendor {existing[named.source]}."
            problems.append(SectionProblem(pointer=f"{at}/vendor", problem=reason, cure="Use another name."))
        try:
            source_of(named.source, named)
        except Refusal as refusal:
            problems.append(SectionProblem(pointer=f"{at}{refusal.field}", problem=refusal.reason, cure=refusal.cure))
    if problems:
        session.emit(SectionRejected(service=SERVICE, version=blueprint.version, problems=problems))
        return
    for named in wanted:
        await put_source(session, named.source, SourceSpec.model_validate(named.model_dump(exclude={"source"})))
    session.emit(SectionApplied(service=SERVICE, version=blueprint.version, content=await section(session)))
