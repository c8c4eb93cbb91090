"""The event door: blueprints."""

from contracts.blueprints import BlueprintPublished
from pydantic import ValidationError
from servicekit import Received
from servicekit.blueprints import reject_section, take_section
from servicekit.errors import shape_problems
from storage import DocumentStore, Session

from forms.actions import definitions
from forms.model import FormsSection


class Blueprints:
    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def on_published(self, session: Session, event: Received[BlueprintPublished]) -> None:
        """Applies the section `forms`, all of it or nothing, and answers."""
        content = event.body.sections.get("forms")
        if content is None or not await take_section(session, event):
            return
        try:
            section = FormsSection.model_validate(content)
            problems = section.problems() or await definitions.apply_section(session, self._documents, section)
        except ValidationError as error:
            problems = shape_problems(error, content)
        if problems:
            reject_section(session, event.body.version, problems)
        else:
            await definitions.answer(session, self._documents, version=event.body.version)
