"""Gamification: what is recognised, by which rule, and taken back when it no longer holds."""

from contracts.blueprints import BlueprintPublished
from contracts.learning import AssignmentCompleted
from contracts.scores import BandCorrected, BandLeft, ScoreChanged
from servicekit import Kit, Service, Subscription, Wired
from storage import Migrations

from gamification import api, clock, consumers


def wire(kit: Kit) -> Wired:
    return Wired(
        router=api.router,
        subscriptions=[
            Subscription(
                "bands", {BandLeft: consumers.on_band_left, BandCorrected: consumers.on_band_corrected}, in_turn=True
            ),
            Subscription("scores", {ScoreChanged: consumers.on_score_changed}, in_turn=True),
            Subscription("assignments", {AssignmentCompleted: consumers.on_assignment_completed}, in_turn=True),
            Subscription("blueprints", {BlueprintPublished: consumers.on_blueprint_published}),
        ],
        clock={"workday-over": clock.on_workday_over},
    )


service = Service(
    name="gamification",
    title="Gamification",
    migrations=Migrations("gamification", "gamification.migrations"),
    wire=wire,
)
