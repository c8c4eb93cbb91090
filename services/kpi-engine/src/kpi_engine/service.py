"""kpi-engine: facts in; values, bands and their reasons out."""

from functools import partial

from contracts import type_registry
from contracts.blueprints import BlueprintPublished
from contracts.directory import OrgUnitChanged, PersonChanged
from servicekit import Service, ServiceContext, ServiceParts, Subscription
from servicekit.blueprints import subscribe_to_names
from servicekit.blueprints.checking import SectionChecker
from servicekit.service_definition import BatchHandler
from storage import Migrations

from kpi_engine import clock, consumers, metrics
from kpi_engine.actions.publishing import export_section
from kpi_engine.api import router
from kpi_engine.api.field_docs import FIELD_DOCS
from kpi_engine.model.section import check_section
from kpi_engine.settings import KpiEngineSettings
from kpi_engine.store.facts import FACT_READERS


def wire(kit: ServiceContext) -> ServiceParts:
    facts = partial(_facts, max_messages=KpiEngineSettings().batch)
    return ServiceParts(
        router=router,
        field_docs=FIELD_DOCS,
        subscriptions=[
            facts("legs", consumers.on_facts),
            facts("legs.history", consumers.on_history),
            facts("agent-states", consumers.on_facts),
            facts("submissions", consumers.on_facts),
            # Everything that ever happened is counted again for a new model.
            Subscription("blueprints", {BlueprintPublished: consumers.on_blueprint_published}, max_seconds=3600),
            *subscribe_to_names("ingest", "forms", "training", "gamification", "notification"),
            Subscription(
                "directory",
                {PersonChanged: consumers.on_person_changed, OrgUnitChanged: consumers.on_org_unit_changed},
            ),
        ],
        due_handlers=clock.handlers,
        section=SectionChecker(export_section, check_section),
    )


def _facts(topic: str, count: BatchHandler, max_messages: int) -> Subscription:
    types = [type_registry[name] for name in FACT_READERS]
    return Subscription(topic, batch=count, types=types, max_messages=max_messages)


service = Service(
    name="kpi-engine",
    title="KPI engine",
    migrations=Migrations("kpi-engine", "kpi_engine.migrations"),
    wire=wire,
    metrics=metrics.METRICS,
    count_published=metrics.count_published,
)
