"""Handles a published section: applies or rejects it once, and publishes the result."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from contracts.blueprints import BlueprintPublished, SectionProblem, SectionRejected
from pydantic import BaseModel, ValidationError
from sqlalchemy import tuple_
from sqlalchemy.dialects.postgresql import insert
from storage import Session
from storage.tables import blueprint_section

from servicekit.door import lock_edits
from servicekit.errors import MOST_PROBLEMS, FieldProblem
from servicekit.nesting import find_depth_problems
from servicekit.service_definition import ReceivedEvent
from servicekit.validation_problems import find_validation_problems

MAX_DEPTH = 60
"""The most levels of nesting in a section, so that recursive code can walk over it."""


SectionModel = TypeVar("SectionModel", bound=BaseModel)


async def handle_section(
    session: Session,
    event: ReceivedEvent[BlueprintPublished],
    model: type[SectionModel],
    apply: Callable[[SectionModel], Awaitable[Sequence[FieldProblem]]],
    publish: Callable[[int], Awaitable[None]],
    *,
    cures: Mapping[str, str] | None = None,
    defer: Callable[[SectionModel, int], Awaitable[bool]] | None = None,
) -> None:
    """Applies the service's section of a published blueprint, unless the service has handled that version, and publishes
    the result.

    `apply` applies the section, or returns its problems and changes nothing. The section is rejected when there are
    problems, or when it does not fit `model`. `publish` publishes the section in force after the given blueprint version.
    `cures`: the cure of a validation error by its pydantic type, in place of the usual one. `defer` schedules a section that
    takes long, with its blueprint version, and returns True; the clock then applies it and calls `publish_section_result`.
    """
    content, version = event.body.sections.get(session.service), event.body.version
    if content is None or not await _claim_section(session, event):
        return
    try:
        section = model.model_validate(content)
    except ValidationError as error:
        _reject_section(session, version, find_validation_problems(error, content, model, cures))
        return
    if defer is None or not await defer(section, version):
        await publish_section_result(session, version, await apply(section), publish)


async def publish_section_result(
    session: Session, version: int, problems: Sequence[FieldProblem], publish: Callable[[int], Awaitable[None]]
) -> None:
    """Rejects the section when it has problems; else publishes the section in force, by `publish`."""
    if problems:
        _reject_section(session, version, problems)
    else:
        await publish(version)


async def _claim_section(session: Session, event: ReceivedEvent[BlueprintPublished]) -> bool:
    """Whether the caller must handle this event. An older version, or the same event again, must have no effect, since the
    tenant may have been edited since; a version that is published again on purpose is a new event. From here on, the
    session's origin is the person who published the blueprint. A section that is nested too deeply is rejected here."""
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
        _reject_section(session, event.body.version, problems)
    return not problems


def _reject_section(session: Session, version: int, problems: Sequence[FieldProblem]) -> None:
    """Publishes that the section was rejected: nothing of it was applied."""
    reported = [SectionProblem(pointer=each.pointer, problem=each.problem, cure=each.cure) for each in problems]
    session.emit(SectionRejected(service=session.service, version=version, problems=reported[:MOST_PROBLEMS]))
