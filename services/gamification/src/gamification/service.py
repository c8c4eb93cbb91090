"""Gamification: rules grant points for improvement, bands and trainings; corrections reverse them."""

from servicekit import Service, ServiceContext, ServiceParts
from servicekit.blueprints.checking import SectionChecker
from storage import Migrations

from gamification import api, clock, consumers, metrics
from gamification.actions.rules import export_section
from gamification.api.field_docs import FIELD_DOCS
from gamification.model.section import check_section


def wire(kit: ServiceContext) -> ServiceParts:
    """The parts of the service: routes, subscriptions, due handlers and the blueprint section."""
    return ServiceParts(
        field_docs=FIELD_DOCS,
        router=api.router,
        subscriptions=consumers.subscriptions(),
        due_handlers={"workday-over": clock.on_workday_over},
        section=SectionChecker(export_section, check_section),
    )


service = Service(
    name="gamification",
    title="Gamification",
    migrations=Migrations("gamification", "gamification.migrations"),
    wire=wire,
    metrics=metrics.METRICS,
    count_published=metrics.count_published,
)
