"""Training: what is to be learned, who is given it by which rule, and what came of it."""

from functools import partial

from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandEntered, BandLeft
from servicekit import Kit, Service, Subscription, Wired
from storage import Migrations

from training import api, clock, consumers


def wire(kit: Kit) -> Wired:
    return Wired(
        router=api.router,
        subscriptions=[
            Subscription(
                "bands",
                {
                    BandEntered: consumers.on_band_entered,
                    BandLeft: consumers.on_band_left,
                    BandCorrected: consumers.on_band_corrected,
                },
            ),
            Subscription("blueprints", {BlueprintPublished: partial(consumers.on_blueprint_published, kit.documents)}),
        ],
        clock=clock.handlers(kit.documents),
    )


service = Service(
    name="training", title="Training", migrations=Migrations("training", "training.migrations"), wire=wire
)
