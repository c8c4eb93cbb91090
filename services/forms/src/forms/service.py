"""Forms: evaluations, quizzes, surveys and notes. Definitions with logic and scoring in immutable versions,
submissions pinned to theirs, scores that become KPI facts."""

from contracts.blueprints import BlueprintPublished
from servicekit import Kit, Service, Subscription, Wired
from storage import Migrations

from forms import api
from forms.clock import Sweeper
from forms.consumers import Blueprints


def wire(kit: Kit) -> Wired:
    sweeper = Sweeper(kit.documents)
    return Wired(
        router=api.router,
        subscriptions=[
            Subscription("blueprints", {BlueprintPublished: Blueprints(kit.documents).on_published}),
        ],
        clock={"sweep": sweeper.on_sweep, "discard": sweeper.on_discard},
    )


service = Service(name="forms", title="Forms", migrations=Migrations("forms", "forms.migrations"), wire=wire)
