"""The event door: news for people and endpoints, blueprints, people switched off."""

from typing import Any

from contracts.blueprints import BlueprintPublished
from contracts.directory import PersonChanged
from pydantic import ValidationError
from servicekit import Received
from servicekit.blueprints import reject_section, take_section
from servicekit.errors import shape_problems
from storage import Session

from notification.actions import configure, notify
from notification.model.addresses import UrlPolicy
from notification.model.rules import NotificationSection
from notification.store import notices


class Consumers:
    def __init__(self, policy: UrlPolicy, *, mail: bool) -> None:
        self._policy = policy
        self._mail = mail

    async def on_news(self, session: Session, events: list[Received[Any]]) -> None:
        await notify.tell(session, events, mail=self._mail)

    async def on_blueprint(self, session: Session, event: Received[BlueprintPublished]) -> None:
        """Applies the section `notification`, all of it or nothing, and answers."""
        content = event.body.sections.get("notification")
        if content is None or not await take_section(session, event):
            return
        try:
            section = NotificationSection.model_validate(content)
            problems = await configure.apply_section(session, section, self._policy)
        except ValidationError as error:
            problems = shape_problems(error, content)
        if problems:
            reject_section(session, event.body.version, problems)
        else:
            await configure.answer(session, version=event.body.version)

    async def on_person(self, session: Session, event: Received[PersonChanged]) -> None:
        """Open streams of a person who was switched off end at once."""
        if not event.body.active:
            await notices.wake(session, [(session.tenant, event.body.id)])
