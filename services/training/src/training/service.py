"""Training: templates, the rules that assign them, assignments and their effect."""

from functools import partial

from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed
from servicekit import Service, ServiceContext, ServiceParts, Subscription
from servicekit.blueprints import subscribe_to_names
from servicekit.blueprints.checking import SectionChecker
from storage import Migrations

from training import api, clock, consumers, metrics
from training.actions import bands
from training.actions.templates import export_section
from training.api.field_docs import FIELD_DOCS
from training.model.section import check_section


def wire(kit: ServiceContext) -> ServiceParts:
    """Router, subscriptions and clock of the service."""
    return ServiceParts(
        field_docs=FIELD_DOCS,
        router=api.router,
        subscriptions=[
            Subscription(
                "bands",
                batch=bands.apply_band_events,
                types=(BandEntered, BandStayed, BandLeft, BandCorrected),
                by_tenant=True,
                lock_by_key=True,
            ),
            Subscription("blueprints", {BlueprintPublished: partial(consumers.on_blueprint_published, kit.documents)}),
            *subscribe_to_names("kpi-engine", "gamification", "notification"),
        ],
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
