"""The event door: blueprints."""

from typing import Any

from contracts.blueprints import BlueprintPublished, SectionProblem, SectionRejected
from pydantic import ValidationError
from servicekit import Received
from servicekit.errors import FieldProblem
from storage import DocumentStore, Session

from forms.actions import definitions
from forms.model import FormsSection, limits
from forms.model.json_schema import pointer


class Blueprints:
    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def on_published(self, session: Session, event: Received[BlueprintPublished]) -> None:
        """Applies the section `forms`, all of it or nothing, and answers."""
        content = event.body.sections.get("forms")
        if content is None:
            return
        try:
            section = FormsSection.model_validate(content)
            problems = section.problems() or await definitions.apply_section(session, self._documents, section)
        except ValidationError as error:
            problems = [_problem(content, each) for each in error.errors()]
        if problems:
            answers = [
                SectionProblem(pointer=each.pointer, problem=each.problem, cure=each.cure)
                for each in problems[: limits.PROBLEMS]
            ]
            session.emit(SectionRejected(service="forms", version=event.body.version, problems=answers))
        else:
            await definitions.answer(session, self._documents, version=event.body.version)


def _problem(content: Any, error: Any) -> FieldProblem:
    """pydantic names the branch of a union among the steps to a value; those are no steps in the content."""
    steps: list[object] = []
    for step in error["loc"]:
        known = isinstance(content, dict) and step in content
        if known or (isinstance(content, list) and isinstance(step, int)):
            content = content[step]
            steps.append(step)
        elif error["type"] == "missing" and step == error["loc"][-1]:
            steps.append(step)
    cure = "leave it out" if error["type"] == "extra_forbidden" else ""
    return FieldProblem(pointer=pointer(*steps), problem=error["msg"], cure=cure)
