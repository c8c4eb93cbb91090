"""Training: what is to be learned, who is given it by which rule, and what came of it."""

from functools import partial

from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed
from servicekit import Kit, Service, Subscription, Wired
from servicekit.blueprints import names_heard
from servicekit.blueprints.checking import OwnSection
from storage import Migrations

from training import api, clock, consumers
from training.actions import bands
from training.actions.templates import section_content
from training.api.words import WORDS
from training.model.section import check_section


def wire(kit: Kit) -> Wired:
    return Wired(
        words=WORDS,
        router=api.router,
        subscriptions=[
            Subscription(
                "bands",
                batch=bands.hear_bands,
                types=(BandEntered, BandStayed, BandLeft, BandCorrected),
                by_tenant=True,
                in_turn=True,
            ),
            Subscription("blueprints", {BlueprintPublished: partial(consumers.on_blueprint_published, kit.documents)}),
            *names_heard("kpi-engine", "gamification", "notification"),
        ],
        clock=clock.handlers(kit.documents),
        section=OwnSection(partial(section_content, documents=kit.documents), check_section),
    )


service = Service(
    name="training", title="Training", migrations=Migrations("training", "training.migrations"), wire=wire
)
