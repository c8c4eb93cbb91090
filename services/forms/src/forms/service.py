"""Forms: evaluations, quizzes, surveys and notes. Definitions with logic and scoring in immutable versions,
submissions pinned to theirs, scores that become KPI facts."""

from functools import partial

from contracts.blueprints import BlueprintPublished
from servicekit import Kit, Service, Subscription, Wired
from servicekit.blueprints import names_heard
from servicekit.blueprints.checking import OwnSection
from storage import Migrations

from forms import api, clock
from forms.actions.definitions import section_content
from forms.api.words import WORDS
from forms.consumers import Blueprints
from forms.model import check_section


def wire(kit: Kit) -> Wired:
    return Wired(
        words=WORDS,
        router=api.router,
        subscriptions=[
            *names_heard("kpi-engine", "notification"),
            Subscription("blueprints", {BlueprintPublished: Blueprints(kit.documents).on_published}),
        ],
        clock=clock.handlers(kit.documents),
        section=OwnSection(partial(section_content, documents=kit.documents), check_section),
    )


service = Service(name="forms", title="Forms", migrations=Migrations("forms", "forms.migrations"), wire=wire)
