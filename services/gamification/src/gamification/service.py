"""Gamification: what is recognised, by which rule, and taken back when it no longer holds."""

from contracts.blueprints import BlueprintPublished
from servicekit import Kit, Service, Subscription, Wired
from storage import Migrations

from gamification import api, clock, consumers


def wire(kit: Kit) -> Wired:
    return Wired(
        router=api.router,
        subscriptions=[
            Subscription("bands", batch=consumers.on_bands),
            Subscription("scores", batch=consumers.on_scores),
            Subscription("assignments", batch=consumers.on_assignments),
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
