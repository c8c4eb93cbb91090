"""kpi-engine: turns facts into values and bands, and explains them."""

from servicekit import Service, ServiceContext, ServiceParts
from servicekit.blueprints.checking import SectionChecker
from storage import Migrations

from kpi_engine import clock, consumers, metrics
from kpi_engine.actions.publishing import export_section
from kpi_engine.api import router
from kpi_engine.api.field_docs import FIELD_DOCS
from kpi_engine.model.section import check_section
from kpi_engine.settings import KpiEngineSettings


def wire(kit: ServiceContext) -> ServiceParts:
    """Router, subscriptions and clock of the service."""
    return ServiceParts(
        router=router,
        field_docs=FIELD_DOCS,
        subscriptions=consumers.subscriptions(max_messages=KpiEngineSettings().batch),
        due_handlers=clock.handlers,
        section=SectionChecker(export_section, check_section),
    )


service = Service(
    name="kpi-engine",
    title="KPI engine",
    migrations=Migrations("kpi-engine", "kpi_engine.migrations"),
    wire=wire,
    metrics=metrics.METRICS,
    count_published=metrics.count_published,
)
