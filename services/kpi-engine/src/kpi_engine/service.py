"""kpi-engine: facts in; values, bands and their reasons out."""

from contracts.blueprints import BlueprintPublished
from contracts.directory import OrgUnitChanged, PersonChanged
from servicekit import Kit, Service, Subscription, Wired
from storage import Migrations

from kpi_engine import consumers
from kpi_engine.api import router
from kpi_engine.settings import KpiEngineSettings


def wire(kit: Kit) -> Wired:
    settings = KpiEngineSettings()
    return Wired(
        router=router,
        subscriptions=[
            Subscription("legs", batch=consumers.on_facts, max_messages=settings.batch),
            Subscription("legs.history", batch=consumers.on_history, max_messages=settings.batch),
            Subscription("agent-states", batch=consumers.on_facts, max_messages=settings.batch),
            Subscription("submissions", batch=consumers.on_facts, max_messages=settings.batch),
            Subscription("blueprints", {BlueprintPublished: consumers.on_blueprint_published}),
            Subscription(
                "directory",
                {PersonChanged: consumers.on_person_changed, OrgUnitChanged: consumers.on_org_unit_changed},
            ),
        ],
    )


service = Service(
    name="kpi-engine",
    title="KPI engine",
    migrations=Migrations("kpi-engine", "kpi_engine.migrations"),
    wire=wire,
)
