"""Forms: evaluations, quizzes, surveys and notes. Definitions with logic and scoring in immutable versions,
submissions pinned to theirs, scores that become KPI facts."""

from contracts.blueprints import BlueprintPublished
from servicekit import Kit, Service, Subscription, Wired
from storage import Migrations

from forms import api, clock
from forms.api.words import WORDS
from forms.consumers import Blueprints


def wire(kit: Kit) -> Wired:
    return Wired(
        words=WORDS,
        router=api.router,
        subscriptions=[
            Subscription("blueprints", {BlueprintPublished: Blueprints(kit.documents).on_published}),
        ],
        clock=clock.handlers(kit.documents),
    )


service = Service(name="forms", title="Forms", migrations=Migrations("forms", "forms.migrations"), wire=wire)
