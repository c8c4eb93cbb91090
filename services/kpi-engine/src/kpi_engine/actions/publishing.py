"""Publishes and retires KPI models, by hand or by a blueprint, and recomputes values and bands."""

import logging
from collections.abc import Collection
from typing import Any
from uuid import UUID

from servicekit import lock_edits
from servicekit.audit import origin_of, record_change
from servicekit.blueprints import publish_section, publish_section_result, require_known_names
from servicekit.errors import FieldProblem, Invalid, NotFound
from servicekit.workers import TookTooLong, run_in_worker
from storage import Session

from kpi_engine.actions.bands import FROM_THE_START, publish_band_changes
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
    """Publishes a model written as YAML or JSON. Returns it and whether it is a new version. Raises Invalid."""
    model = await read_model(session, kpi, text)
    await facts.lock_models(session, for_change=True)
    changed = await _publish(session, [(model, text)], by)
    if changed:
        await publish_section_applied(session, version=None)
    return (await models.load_catalogue(session)).models[kpi], changed


async def save_or_schedule(session: Session, kpi: str, text: str, by: UUID | None) -> PublishedModel | None:
    """As `save_model`; None when the tenant has many facts: then the clock publishes it. Raises Invalid."""
    model = await read_model(session, kpi, text)
    now = (await models.load_catalogue(session)).models.get(kpi)
    if now is not None and now.model.content == model.content:
        await session.unschedule(PUBLISH, kpi)  # the version in force is published again
        return now
    if await facts.has_few_facts(session):
        await session.unschedule(PUBLISH, kpi)
        return (await save_model(session, kpi, text, by))[0]
    origin = origin_of(session).model_dump(mode="json")
    body = {"document": text, "by": None if by is None else str(by), "origin": origin}
    await session.schedule(PUBLISH, kpi, session.now, body)
    return None


async def publish_scheduled(session: Session, kpi: str, text: str, by: UUID | None) -> None:
    """Publishes what `save_or_schedule` scheduled. When it names something that is gone by now, it is logged and dropped."""
    await lock_edits(session)
    try:
        await save_model(session, kpi, text, by)
    except Invalid as invalid:
        log.error("a new version of the KPI %s was not published: %s", kpi, invalid.detail)


async def retire_model(session: Session, kpi: str) -> None:
    """Retires a model: it is computed no more; its versions and published bands stay. A retired one stays so. Raises
    NotFound."""
    await session.unschedule(PUBLISH, kpi)
    await facts.lock_models(session, for_change=True)
    before = (await models.load_catalogue(session)).models.get(kpi)
    if before is None:
        if await models.find_retired(session, kpi) is None:
            raise NotFound("unknown-kpi", f"There is no KPI `{kpi}`.")
        return
    await models.retire_model(session, kpi)
    record_change(session, "kpi", kpi, action="retired", before=_audit_state(before))
    await publish_section_applied(session, version=None)


async def read_model(session: Session, kpi: str, text: str) -> Model:
    """Parses and checks the model of this name. Raises Invalid with line, column and cure of each problem, and for names
    of other services that do not exist."""
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


async def schedule_long_section(session: Session, content: dict[str, Any], version: int) -> bool:
    """Whether applying a blueprint's section takes long. It is then scheduled, so that the consumer does not wait."""
    if await facts.try_lock_models_if_small(session):
        return False
    body = {"content": content, "version": version, "origin": origin_of(session).model_dump(mode="json")}
    await session.schedule("section", str(version), session.now, body)
    return True


async def apply_scheduled_section(session: Session, content: dict[str, Any], version: int) -> None:
    """Applies what `schedule_long_section` scheduled, and publishes `SectionApplied` or `SectionRejected`."""
    problems = await apply_section(session, content)
    await publish_section_result(
        session, version, problems, lambda version: publish_section_applied(session, version=version)
    )


async def apply_section(session: Session, content: dict[str, Any]) -> list[FieldProblem]:
    """Replaces the tenant's models by those of the section. When it has problems, returns them and changes nothing."""
    try:
        found, problems = await run_in_worker(parse_section, content, seconds=SECTION_TIMEOUT_SECONDS)
    except TookTooLong as error:
        return [FieldProblem(pointer="/kpis", problem=error.detail, cure="Publish fewer models.")]
    if problems:
        return problems
    await lock_edits(session)
    await facts.lock_models(session, for_change=True)
    await session.run(
        "DELETE FROM due_item WHERE tenant = :tenant AND kind = :kind", {"tenant": session.tenant, "kind": PUBLISH}
    )  # the section is newer than scheduled models
    before = await models.load_catalogue(session)
    for kpi in sorted(set(before.models) - {model.kpi for model, _ in found}):
        await models.retire_model(session, kpi)
        record_change(session, "kpi", kpi, action="retired", before=_audit_state(before.models[kpi]))
    await _publish(session, found, None)
    return []


async def publish_section_applied(session: Session, *, version: int | None) -> None:
    """Publishes the tenant's current section `kpi-engine`. `version`: of the blueprint; None after an edit."""
    catalogue = await models.load_catalogue(session)
    section = _render_section(catalogue)
    pointers = {document["kpi"]: f"/kpis/{index}" for index, document in enumerate(section["kpis"])}
    named = [each for kpi, at in pointers.items() for each in find_references(catalogue.models[kpi].model, at)]
    await publish_section(session, SERVICE, version, section, named)


async def export_section(session: Session) -> dict[str, Any]:
    """The models in force as a blueprint section."""
    return _render_section(await models.load_catalogue(session))


def _audit_state(published: PublishedModel) -> dict[str, Any]:
    return {"version": published.version, **published.model.content}


def _render_section(catalogue: Catalogue) -> dict[str, Any]:
    return {"kpis": [each.model.content for each in catalogue.models.values()]}


async def _publish(session: Session, found: list[tuple[Model, str]], by: UUID | None) -> bool:
    """Publishes the models that differ from the version in force. The caller holds the exclusive lock on the models."""
    before = await models.load_catalogue(session)
    new: list[str] = []
    for model, document in found:
        old = before.models.get(model.kpi)
        if old is None or old.model.content != model.content:
            await models.insert_version(session, model, document, by)
            new.append(model.kpi)
    if not new:
        return False
    catalogue = await models.load_catalogue(session)
    changes: list[partials.PartialChange] = []
    for kpi in new:
        old, now = before.models.get(kpi), catalogue.models[kpi]
        record_change(
            session, "kpi", kpi, action="published", before=old and _audit_state(old), after=_audit_state(now)
        )
        published = catalogue.models[kpi]
        changes += await partials.recompute_partials(session, published)
    # Recomputed values of the past are published as history: nobody acts on them.
    await publish_scores(session, catalogue, changes, mode="history")
    first_days = [
        (catalogue.models[kpi], dict.fromkeys(await stays.find_agents_with_bands(session, kpi), FROM_THE_START))
        for kpi in new
    ]
    await publish_band_changes(session, first_days, mode="live", reason="new_kpi_version", past_is_history=True)
    return True


async def rederive_person(session: Session, person_id: UUID) -> None:
    """Derives the bands of a person to whom another target may apply now."""
    await _derive_or_schedule(session, [person_id])


async def rederive_org_unit(session: Session, unit_id: UUID) -> None:
    """Derives the bands of those who are or were in this org unit, where a target uses org units."""
    catalogue = await models.load_catalogue(session)
    if any(target.uses_column("org_unit") for each in catalogue.models.values() for target in _targets(each)):
        await _derive_or_schedule(session, await stays.find_members_with_bands(session, unit_id))


def _targets(published: PublishedModel) -> tuple[Target, ...]:
    return published.model.bands.targets if published.model.bands else ()


async def _derive_or_schedule(session: Session, agents: Collection[UUID]) -> None:
    """Schedules one due item per agent when there are many, or when the models are being changed: consumers do not wait."""
    if len(agents) > AGENTS_AT_ONCE or not await rederive_agents(session, agents):
        items: list[dict[str, Any]] = [
            {"tenant": session.tenant, "ref": str(agent), "at": session.now, "body": {}, "turn": None}
            for agent in agents
        ]
        await session.schedule_all("targets", items)


async def rederive_agents(session: Session, agents: Collection[UUID]) -> bool:
    """Derives the bands of these agents from the start, for models with targets. Stays that have ended are published as
    history. Returns False, and does nothing, while the models are being changed."""
    if not agents:
        return True
    if not await facts.try_lock_models_shared(session):
        return False
    catalogue = await models.load_catalogue(session)
    if not any(map(_targets, catalogue.models.values())):
        return True
    await facts.lock_agents(session, [(session.tenant, agent) for agent in agents])
    first_days = [(each, dict.fromkeys(agents, FROM_THE_START)) for each in catalogue.models.values() if _targets(each)]
    await publish_band_changes(session, first_days, mode="live", reason="other_target", past_is_history=True)
    return True
