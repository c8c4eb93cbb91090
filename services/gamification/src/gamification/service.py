"""Gamification: rules grant points for improvement, bands and trainings; corrections reverse them."""

from contracts import Event
from contracts.assignments import AssignmentCompleted
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandLeft, ScoreChanged
from servicekit import Service, ServiceContext, ServiceParts, Subscription
from servicekit.blueprints import subscribe_to_names
from servicekit.blueprints.checking import SectionChecker
from servicekit.service_definition import BatchHandler
from storage import Migrations

from gamification import api, clock, consumers, metrics
from gamification.actions import bands, improvement
from gamification.actions.rules import export_section
from gamification.api.field_docs import FIELD_DOCS
from gamification.model.section import check_section


def wire(kit: ServiceContext) -> ServiceParts:
    """The parts of the service: routes, subscriptions, due handlers and the blueprint section."""
    return ServiceParts(
        field_docs=FIELD_DOCS,
        router=api.router,
        subscriptions=[
            _agent_subscription("bands", bands.apply_band_events, BandLeft, BandCorrected),
            _agent_subscription("scores", improvement.apply_score_events, ScoreChanged),
            _agent_subscription("assignments", bands.grant_for_trainings, AssignmentCompleted),
            Subscription("blueprints", {BlueprintPublished: consumers.on_blueprint_published}),
            *subscribe_to_names("kpi-engine", "training", "notification"),
        ],
        due_handlers={"workday-over": clock.on_workday_over},
        section=SectionChecker(export_section, check_section),
    )


def _agent_subscription(topic: str, handle_batch: BatchHandler, *types: type[Event]) -> Subscription:
    """A subscription that locks the agents of a batch: every event about an agent writes the same ledger."""
    return Subscription(topic, batch=handle_batch, types=types, by_tenant=True, lock_by_key=True)


service = Service(
    name="gamification",
    title="Gamification",
    migrations=Migrations("gamification", "gamification.migrations"),
    wire=wire,
    metrics=metrics.METRICS,
    count_published=metrics.count_published,
)
