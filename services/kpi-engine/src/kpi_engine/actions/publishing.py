"""KPI models: saved by hand or by a blueprint, counted again from the facts."""

import logging
from collections.abc import Collection
from typing import Any
from uuid import UUID

from servicekit import lock_edits
from servicekit.audit import origin_of, record_change
from servicekit.blueprints import publish_section, reject_section, require_known_names
from servicekit.errors import FieldProblem, Invalid, NotFound
from servicekit.workers import TookTooLong, run_in_worker
from storage import Session

from kpi_engine.actions.bands import FROM_THE_START, derive_bands
from kpi_engine.actions.fact_events import publish_scores
from kpi_engine.model.document import Model, parse_model
from kpi_engine.model.document_text import ModelInvalid, Problem
from kpi_engine.model.references import find_references
from kpi_engine.model.section import parse_section
from kpi_engine.model.targets import Target
from kpi_engine.store import facts, models, partials, stays
from kpi_engine.store.models import Catalogue, PublishedModel

SERVICE = "kpi-engine"
SECTION_TIMEOUT_SECONDS = 20.0
PUBLISH = "publish"
AGENTS_AT_ONCE = 20
log = logging.getLogger("uplift.kpi-engine")


async def save_model(session: Session, kpi: str, text: str, by: UUID | None) -> tuple[PublishedModel, bool]:
    """Publishes a model written as YAML or JSON, and whether that made a new version. Raises Invalid."""
    model = await read_model(session, kpi, text)
    await facts.lock_models(session, for_change=True)
    changed = await _publish(session, [(model, text)], by)
    catalogue = await models.load_catalogue(session)
    if changed:
        await _tell(session, catalogue)
    return catalogue.models[kpi], changed


async def save_or_schedule(session: Session, kpi: str, text: str, by: UUID | None) -> PublishedModel | None:
    """As `save_model`; None where counting it takes long, and the clock does. Raises Invalid."""
    model = await read_model(session, kpi, text)
    now = (await models.load_catalogue(session)).models.get(kpi)
    if now is not None and now.model.content == model.content:
        await session.unschedule(PUBLISH, kpi)  # what is in force is wanted again
        return now
    if await facts.are_few(session):
        await session.unschedule(PUBLISH, kpi)
        return (await save_model(session, kpi, text, by))[0]
    origin = origin_of(session).model_dump(mode="json")
    body = {"document": text, "by": None if by is None else str(by), "origin": origin}
    await session.schedule(PUBLISH, kpi, session.now, body)
    return None


async def publish_waiting(session: Session, kpi: str, text: str, by: UUID | None) -> None:
    """What `save_or_schedule` put off. What it names may be gone by now: then it is not published, and the log says why."""
    await lock_edits(session)
    try:
        await save_model(session, kpi, text, by)
    except Invalid as invalid:
        log.error("a new version of the KPI %s was not published: %s", kpi, invalid.detail)


async def retire_model(session: Session, kpi: str) -> None:
    """It is counted no more; its versions and the bands that were told stay. Retired before: as it is. Raises NotFound."""
    await session.unschedule(PUBLISH, kpi)
    await facts.lock_models(session, for_change=True)
    before = (await models.load_catalogue(session)).models.get(kpi)
    if before is None:
        if await models.find_retired(session, kpi) is None:
            raise NotFound("unknown-kpi", f"There is no KPI `{kpi}`.")
        return
    await models.retire_model(session, kpi)
    record_change(session, "kpi", kpi, action="retired", before=_audit_state(before))
    await _tell(session, await models.load_catalogue(session))


async def read_model(session: Session, kpi: str, text: str) -> Model:
    """The checked model of that name. Raises Invalid with line, column and cure of every problem, and for what it names
    and is not there."""
    try:
        model = await run_in_worker(parse_model, text)
    except ModelInvalid as invalid:
        raise Invalid(
            "invalid-model", "This is no KPI model.", errors=[_to_field_problem(each) for each in invalid.problems]
        ) from None
    if model.kpi != kpi:
        problem = FieldProblem(pointer="/kpi", problem=f"The model calls itself `{model.kpi}`.", cure=f"Write `{kpi}`.")
        raise Invalid("other-kpi", f"This is not the model of `{kpi}`.", errors=[problem])
    await require_known_names(session, find_references(model))
    return model


def _to_field_problem(problem: Problem) -> FieldProblem:
    return FieldProblem(
        pointer=problem.pointer, problem=problem.problem, cure=problem.cure, line=problem.line, column=problem.column
    )


async def apply_or_schedule_section(session: Session, content: dict[str, Any], version: int) -> None:
    """A blueprint's section takes effect at once, or, where that takes long, by the clock: the reader does not wait."""
    if await facts.try_lock_models_if_small(session):
        await apply_section(session, content, version)
    else:
        body = {"content": content, "version": version, "origin": origin_of(session).model_dump(mode="json")}
        await session.schedule("section", str(version), session.now, body)


async def apply_section(session: Session, content: dict[str, Any], version: int) -> None:
    """A blueprint's section becomes the tenant's whole set of models, or nothing of it does. Answers either way."""
    try:
        found, problems = await run_in_worker(parse_section, content, seconds=SECTION_TIMEOUT_SECONDS)
    except TookTooLong as error:
        found, problems = [], [FieldProblem(pointer="/kpis", problem=error.detail, cure="Publish fewer models.")]
    if problems:
        reject_section(session, version, problems)
        return
    await lock_edits(session)
    await facts.lock_models(session, for_change=True)
    await session.run(
        "DELETE FROM due_item WHERE tenant = :tenant AND kind = :kind", {"tenant": session.tenant, "kind": PUBLISH}
    )  # the section is the newer word
    before = await models.load_catalogue(session)
    for kpi in sorted(set(before.models) - {model.kpi for model, _ in found}):
        await models.retire_model(session, kpi)
        record_change(session, "kpi", kpi, action="retired", before=_audit_state(before.models[kpi]))
    await _publish(session, found, None)
    await _tell(session, await models.load_catalogue(session), version)


async def _tell(session: Session, catalogue: Catalogue, version: int | None = None) -> None:
    section = render_section(catalogue)
    places = {document["kpi"]: f"/kpis/{index}" for index, document in enumerate(section["kpis"])}
    named = [each for kpi, at in places.items() for each in find_references(catalogue.models[kpi].model, at)]
    await publish_section(session, SERVICE, version, section, named)


async def export_section(session: Session) -> dict[str, Any]:
    return render_section(await models.load_catalogue(session))


def _audit_state(published: PublishedModel) -> dict[str, Any]:
    return {"version": published.version, **published.model.content}


def render_section(catalogue: Catalogue) -> dict[str, Any]:
    """The tenant's models as a section of its blueprint."""
    return {"kpis": [each.model.content for each in catalogue.models.values()]}


async def _publish(session: Session, found: list[tuple[Model, str]], by: UUID | None) -> bool:
    """Publishes what differs from the version in force. The caller holds the lock on the models."""
    before = await models.load_catalogue(session)
    new = []
    for model, document in found:
        old = before.models.get(model.kpi)
        if old is None or old.model.content != model.content:
            await models.insert_version(session, model, document, by)
            new.append(model.kpi)
    if not new:
        return False
    catalogue = await models.load_catalogue(session)
    changes = []
    for kpi in new:
        old, now = before.models.get(kpi), catalogue.models[kpi]
        record_change(
            session, "kpi", kpi, action="published", before=old and _audit_state(old), after=_audit_state(now)
        )
        published = catalogue.models[kpi]
        changes += await partials.recompute_partials(session, published)
    # Values of the past that are counted anew are no news to anybody: told as history.
    await publish_scores(session, catalogue, changes, mode="history")
    touched = [
        (catalogue.models[kpi], dict.fromkeys(await stays.find_agents_with_bands(session, kpi), FROM_THE_START))
        for kpi in new
    ]
    await derive_bands(session, touched, mode="live", reason="new_kpi_version", past_is_history=True)
    return True


async def rederive_person(session: Session, person_id: UUID) -> None:
    """Another target may apply to this person now."""
    await _derive_or_schedule(session, [person_id])


async def rederive_org_unit(session: Session, unit_id: UUID) -> None:
    """Targets that ask for org units may apply to other people now, of those who are or were in this one."""
    catalogue = await models.load_catalogue(session)
    if any(target.uses_column("org_unit") for each in catalogue.models.values() for target in _targets(each)):
        await _derive_or_schedule(session, await stays.find_members_with_bands(session, unit_id))


def _targets(published: PublishedModel) -> tuple[Target, ...]:
    return published.model.bands.targets if published.model.bands else ()


async def _derive_or_schedule(session: Session, agents: Collection[UUID]) -> None:
    """While the tenant's models are being changed, the readers do not wait for that; nor for the many people of an org
    unit, of whom each is an item of the clock."""
    if len(agents) > AGENTS_AT_ONCE or not await rederive_agents(session, agents):
        items = [
            {"tenant": session.tenant, "ref": str(agent), "at": session.now, "body": {}, "turn": None}
            for agent in agents
        ]
        await session.schedule_all("targets", items)


async def rederive_agents(session: Session, agents: Collection[UUID]) -> bool:
    """Stays that another target changes and that are long over are no news. False, and nothing done, while the models
    are being changed."""
    if not agents:
        return True
    if not await facts.try_lock_models_shared(session):
        return False
    catalogue = await models.load_catalogue(session)
    if not any(map(_targets, catalogue.models.values())):
        return True
    await facts.lock_agents(session, [(session.tenant, agent) for agent in agents])
    touched = [(each, dict.fromkeys(agents, FROM_THE_START)) for each in catalogue.models.values() if _targets(each)]
    await derive_bands(session, touched, mode="live", reason="other_target", past_is_history=True)
    return True
