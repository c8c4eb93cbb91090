"""The event door: news for people and endpoints, blueprints, people switched off."""

from typing import Any

from contracts.blueprints import BlueprintPublished, SectionProblem, SectionRejected
from contracts.directory import PersonChanged
from pydantic import ValidationError
from servicekit import Received
from servicekit.errors import FieldProblem
from storage import Session

from notification.actions import configure, notify
from notification.model.addresses import UrlPolicy
from notification.model.rules import NotificationSection
from notification.store import notices

MOST_PROBLEMS = 100


class Consumers:
    def __init__(self, policy: UrlPolicy, *, mail: bool) -> None:
        self._policy = policy
        self._mail = mail

    async def on_news(self, session: Session, event: Received[Any]) -> None:
        await notify.tell(session, event.body, event.attributes, mail=self._mail)

    async def on_blueprint(self, session: Session, event: Received[BlueprintPublished]) -> None:
        """Applies the section `notification`, all of it or nothing, and answers."""
        content = event.body.sections.get("notification")
        if content is None:
            return
        try:
            section = NotificationSection.model_validate(content)
            problems = await configure.apply_section(session, section, self._policy)
        except ValidationError as error:
            problems = [_problem(each) for each in error.errors()]
        if not problems:
            await configure.answer(session, version=event.body.version)
            return
        told = [SectionProblem(pointer=each.pointer, problem=each.problem, cure=each.cure) for each in problems]
        session.emit(SectionRejected(service="notification", version=event.body.version, problems=told[:MOST_PROBLEMS]))

    async def on_person(self, session: Session, event: Received[PersonChanged]) -> None:
        """Open streams of a person who was switched off end at once."""
        if not event.body.active:
            await notices.wake(session, event.body.id)


def _problem(error: Any) -> FieldProblem:
    pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in error["loc"])
    return FieldProblem(
        pointer=pointer, problem=error["msg"], cure="leave it out" if error["type"] == "extra_forbidden" else ""
    )
