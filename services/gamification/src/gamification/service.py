"""Gamification: what is recognised, by which rule, and taken back when it no longer holds."""

from contracts import Event
from contracts.blueprints import BlueprintPublished
from contracts.learning import AssignmentCompleted
from contracts.scores import BandCorrected, BandLeft, ScoreChanged
from servicekit import Kit, Service, Subscription, Wired
from servicekit.blueprints import names_heard
from servicekit.blueprints.checking import OwnSection
from servicekit.kit import BatchHandler
from storage import Migrations

from gamification import api, clock, consumers
from gamification.actions import bands, improvement
from gamification.actions.rules import section_content
from gamification.api.words import WORDS
from gamification.model.section import check_section


def wire(kit: Kit) -> Wired:
    return Wired(
        words=WORDS,
        router=api.router,
        subscriptions=[
            _in_turn("bands", bands.hear_bands, BandLeft, BandCorrected),
            _in_turn("scores", improvement.hear_scores, ScoreChanged),
            _in_turn("assignments", bands.complete_trainings, AssignmentCompleted),
            Subscription("blueprints", {BlueprintPublished: consumers.on_blueprint_published}),
            *names_heard("kpi-engine", "training", "notification"),
        ],
        clock={"workday-over": clock.on_workday_over},
        section=OwnSection(section_content, check_section),
    )


def _in_turn(topic: str, hear: BatchHandler, *types: type[Event]) -> Subscription:
    """Whatever is heard of an agent moves the same ledger."""
    return Subscription(topic, batch=hear, types=types, by_tenant=True, in_turn=True)


service = Service(
    name="gamification",
    title="Gamification",
    migrations=Migrations("gamification", "gamification.migrations"),
    wire=wire,
)
