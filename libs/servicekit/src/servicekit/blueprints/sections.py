"""A section that was published: looked at once, and answered either way."""

from collections.abc import Sequence

from contracts.blueprints import BlueprintPublished, SectionProblem, SectionRejected
from sqlalchemy import tuple_
from sqlalchemy.dialects.postgresql import insert
from storage import Session
from storage.tables import blueprint_section

from servicekit.door import lock_edits
from servicekit.errors import MOST_PROBLEMS, FieldProblem
from servicekit.nesting import find_depth_problems
from servicekit.service_definition import ReceivedEvent

MAX_DEPTH = 60
"""Levels of a section. Whatever walks over one may recurse."""


async def claim_section(session: Session, event: ReceivedEvent[BlueprintPublished]) -> bool:
    """Whether this is news here; then what is done from here on is done for whoever published it. An older version must have no effect, nor the same event when it comes again: the
    tenant may have been edited since. A section that is nested too deeply is answered here, and is none. A version that was sent out once more on purpose is another, later event."""
    await lock_edits(session)
    statement = insert(blueprint_section).values(
        tenant=session.tenant, version=event.body.version, event_id=event.attributes.id
    )
    new, last = statement.excluded, blueprint_section.c
    statement = statement.on_conflict_do_update(
        index_elements=["tenant"],
        set_={"version": new.version, "event_id": new.event_id},
        where=tuple_(last.version, last.event_id) < tuple_(new.version, new.event_id),
    )
    if await session.scalar(statement.returning(last.version)) is None:
        return False
    published = event.body.origin
    if published is not None:
        session.origin = published.model_copy(update={"blueprint_version": event.body.version})
    problems = find_depth_problems(event.body.sections.get(session.service), MAX_DEPTH)
    if problems:
        reject_section(session, event.body.version, problems)
    return not problems


def reject_section(session: Session, version: int, problems: Sequence[FieldProblem]) -> None:
    """Answers that nothing of the section was applied."""
    told = [SectionProblem(pointer=each.pointer, problem=each.problem, cure=each.cure) for each in problems]
    session.emit(SectionRejected(service=session.service, version=version, problems=told[:MOST_PROBLEMS]))
