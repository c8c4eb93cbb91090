"""Applies fact events: updates partials, publishes changed scores and bands."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from contracts import Attributes, Mode
from contracts.scores import Score, ScoreChanged
from storage import Session

from kpi_engine.actions.bands import Causes, agents_to_rederive, load_people_with_targets, publish_band_changes
from kpi_engine.model.numbers import decimal_text
from kpi_engine.store import facts, models, partials, stays, waiting_facts
from kpi_engine.store.facts import FACT_READERS, NO_AGENT_ID, SUBMISSION_READER
from kpi_engine.store.models import Catalogue, PublishedModel
from kpi_engine.store.partials import PartialChange
from kpi_engine.store.waiting_facts import FactEvent


@dataclass(frozen=True)
class AppliedFacts:
    """Facts that were stored, and are not yet part of the sums. `touched`: tenants and kinds of fact; `latest`: by tenant
    the time of its newest event; `causes`: the newest event by key; `count`: how many events were read."""

    mode: Mode
    touched: Iterable[tuple[str, str]] = ()
    catalogues: Mapping[str, Catalogue] = field(default_factory=dict[str, Catalogue])
    latest: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    causes: Mapping[str, Attributes] = field(default_factory=dict[str, Attributes])
    count: int = 0

    @property
    def times(self) -> dict[str, datetime]:
        """The tenants whose sums change, each with the time of its newest event."""
        return {tenant: self.latest[tenant] for tenant in self.catalogues}


async def apply_fact_events(session: Session, events: Iterable[FactEvent], *, mode: Mode) -> AppliedFacts:
    """Stores the facts of events of one or several tenants. The door then calls `publish_changes` for each tenant of
    `times`. `mode` goes into the events that follow. Facts of tenants whose models are being changed are deferred, so that
    other tenants do not wait. Raises msgspec.ValidationError for JSON that is no such event."""
    events = list(events)
    count = len(events)
    tenants = {attributes.tenant for attributes, _, _ in events}
    submissions = any(FACT_READERS[attributes.type] is SUBMISSION_READER for attributes, _, _ in events)
    if busy := await facts.prepare_batch(session, tenants, submissions=submissions):
        await waiting_facts.defer_facts(session, [each for each in events if each[0].tenant in busy], mode=mode)
        events = [each for each in events if each[0].tenant not in busy]
    rows: list[tuple[facts.FactReader, tuple[Any, ...]]] = []
    causes: dict[str, Attributes] = {}
    latest: dict[str, datetime] = {}  # a simulated tenant has a clock of its own
    for attributes, key, raw in events:
        reader, tenant = FACT_READERS[attributes.type], attributes.tenant
        latest[tenant] = max(latest.get(tenant, attributes.time), attributes.time)
        rows.append((reader, reader.decode_row(tenant, raw)))
        causes[key] = attributes
    if not rows:
        return AppliedFacts(mode, count=count)
    touched = await facts.apply_facts(session, rows, known_at=latest)
    catalogues = await models.load_catalogues(session, {tenant for tenant, _ in touched})
    return AppliedFacts(mode, touched, catalogues, latest, causes, count)


async def publish_changes(session: Session, applied: AppliedFacts) -> None:
    """Adds the applied facts of the session's one tenant to its sums, and publishes the scores and bands that change."""
    tenant, mode, causes = session.tenant, applied.mode, applied.causes
    catalogue = applied.catalogues[tenant]
    kinds = [kind for each, kind in applied.touched if each == tenant]
    changes = [change for kind in kinds for change in await partials.apply_changes(session, tenant, kind, catalogue)]
    await publish_scores(session, catalogue, changes, mode=mode, causes=causes)
    people = await load_people_with_targets(session, [(catalogue.models[each.kpi], each.agent_id) for each in changes])
    await publish_band_changes(
        session, agents_to_rederive(catalogue, changes, people), mode=mode, causes=causes, people=people
    )


async def apply_waiting_facts(session: Session, mode: Mode) -> AppliedFacts | None:
    """Stores a page of the deferred facts of the session's tenant. Returns None while its models are being changed."""
    if not await facts.try_lock_models_shared(session):
        return None
    found = await waiting_facts.pop_page(session, mode)
    return await apply_fact_events(session, found, mode=mode)


async def publish_scores(
    session: Session,
    catalogue: Catalogue,
    changes: Iterable[PartialChange],
    *,
    mode: Mode,
    causes: Causes | None = None,
) -> None:
    """Publishes one event per agent and workday, with all KPIs that changed."""
    scores: dict[tuple[UUID, date], dict[str, Score]] = {}
    for change in changes:
        if change.changed and change.agent_id != NO_AGENT_ID:
            scores.setdefault((change.agent_id, change.workday), {})[change.kpi] = build_score(
                catalogue.models[change.kpi], change
            )
    version = next(iter(await stays.next_event_versions(session, min(1, len(scores)))), 0)
    for (agent_id, workday), found in sorted(scores.items()):
        event = ScoreChanged(agent_id=agent_id, workday=workday, mode=mode, version=version, scores=found)
        session.emit(event, cause=(causes or {}).get(event.key(session.tenant)))


def build_score(published: PublishedModel, change: PartialChange) -> Score:
    """The agent's value of the day after the change."""
    result = published.model.compute_agent_value(change.components, change.sample)
    return Score(
        value=result.text,
        numerator=None if result.numerator is None else decimal_text(result.numerator),
        denominator=None if result.denominator is None else decimal_text(result.denominator),
        sample=result.sample,
        reason=result.reason,
        model_version=published.version,
        direction=published.model.document.direction,
    )
