"""Forms: evaluations, quizzes, surveys and notes. Definitions have logic, scoring and immutable versions; a submission
is pinned to a version; its score becomes a fact for KPIs."""

from functools import partial

from servicekit import Service, ServiceContext, ServiceParts
from servicekit.blueprints.checking import SectionChecker
from storage import Migrations

from forms import api, clock, consumers
from forms.actions.definitions import export_section
from forms.api.field_docs import FIELD_DOCS
from forms.model import check_section


def wire(kit: ServiceContext) -> ServiceParts:
    """The parts of the service: routes, subscriptions, due handlers and the blueprint section."""
    return ServiceParts(
        field_docs=FIELD_DOCS,
        router=api.router,
        subscriptions=consumers.subscriptions(kit.documents),
        due_handlers=clock.handlers(kit.documents),
        section=SectionChecker(partial(export_section, documents=kit.documents), check_section),
    )


service = Service(name="forms", title="Forms", migrations=Migrations("forms", "forms.migrations"), wire=wire)
