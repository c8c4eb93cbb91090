"""The event door: blueprints."""

from contracts.blueprints import BlueprintPublished
from pydantic import ValidationError
from servicekit import ReceivedEvent, Subscription
from servicekit.blueprints import claim_section, reject_section, subscribe_to_names
from servicekit.errors import FieldProblem
from servicekit.validation_problems import find_validation_problems
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
        content = event.body.sections.get("forms")
        if content is None or not await claim_section(session, event):
            return
        try:
            section = FormsSection.model_validate(content)
            problems = await run_in_worker(section.problems, seconds=SECTION_TIMEOUT_SECONDS)
            problems = problems or await definitions.apply_section(session, self._documents, section)
        except ValidationError as error:
            problems = find_validation_problems(error, content, FormsSection)
        except TookTooLong as error:
            problems = [FieldProblem(pointer="/forms", problem=error.detail, cure="publish fewer forms at once")]
        if problems:
            reject_section(session, event.body.version, problems)
        else:
            await definitions.publish_section_applied(session, self._documents, version=event.body.version)
