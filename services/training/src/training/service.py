"""Training: templates, the rules that assign them, assignments and their effect."""

from functools import partial

from servicekit import Service, ServiceContext, ServiceParts
from servicekit.blueprints.checking import SectionChecker
from storage import Migrations

from training import api, clock, consumers, metrics
from training.actions.templates import export_section
from training.api.field_docs import FIELD_DOCS
from training.model.section import check_section


def wire(kit: ServiceContext) -> ServiceParts:
    """Router, subscriptions and clock of the service."""
    return ServiceParts(
        field_docs=FIELD_DOCS,
        router=api.router,
        subscriptions=consumers.subscriptions(kit.documents),
        due_handlers=clock.handlers(kit.documents),
        section=SectionChecker(partial(export_section, documents=kit.documents), check_section),
    )


service = Service(
    name="training",
    title="Training",
    migrations=Migrations("training", "training.migrations"),
    wire=wire,
    metrics=metrics.METRICS,
    count_published=metrics.count_published,
)
