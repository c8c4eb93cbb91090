"""The event door: blueprints."""

from functools import partial

from contracts.blueprints import BlueprintPublished
from servicekit import ReceivedEvent, Subscription
from servicekit.blueprints import handle_section, subscribe_to_names
from servicekit.errors import FieldProblem
from servicekit.workers import TookTooLong, run_in_worker
from storage import DocumentStore, Session

from forms.actions import definitions
from forms.model import FormsSection

SECTION_TIMEOUT_SECONDS = 20.0


def subscriptions(documents: DocumentStore) -> list[Subscription]:
    """All topics that forms reads."""
    return [
        *subscribe_to_names("kpi-engine", "notification"),
        Subscription("blueprints", {BlueprintPublished: BlueprintConsumer(documents).on_published}),
    ]


class BlueprintConsumer:
    """Applies the section `forms` of published blueprints."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def on_published(self, session: Session, event: ReceivedEvent[BlueprintPublished]) -> None:
        """Applies the section, or nothing of it, and publishes `SectionApplied` or `SectionRejected`."""
        await handle_section(
            session,
            event,
            FormsSection,
            partial(self._apply, session),
            lambda version: definitions.publish_section_applied(session, self._documents, version=version),
        )

    async def _apply(self, session: Session, section: FormsSection) -> list[FieldProblem]:
        try:
            problems = await run_in_worker(section.problems, seconds=SECTION_TIMEOUT_SECONDS)
        except TookTooLong as error:
            return [FieldProblem(pointer="/forms", problem=error.detail, cure="publish fewer forms at once")]
        return problems or await definitions.apply_section(session, self._documents, section)
