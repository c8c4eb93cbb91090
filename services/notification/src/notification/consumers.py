"""The event door: news for people and endpoints, blueprints, whoever loses an open stream."""

from typing import Any

from contracts.blueprints import BlueprintPublished
from contracts.directory import PersonChanged, SessionEnded, TenantChanged
from pydantic import ValidationError
from servicekit import Received
from servicekit.blueprints import reject_section, take_section
from servicekit.outbound import UrlPolicy
from servicekit.shapes import shape_problems
from storage import Session

from notification.actions import configure, notify
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
            problems = shape_problems(error, content, NotificationSection)
        if problems:
            reject_section(session, event.body.version, problems)
        else:
            await configure.answer(session, version=event.body.version)

    async def on_person(self, session: Session, event: Received[PersonChanged]) -> None:
        """Open streams look at once whether the person may still have them."""
        await notices.wake(session, [(session.tenant, event.body.id)])

    async def on_tenant(self, session: Session, event: Received[TenantChanged]) -> None:
        if not event.body.active:
            await notices.wake_all(session, [f"{event.body.slug}/"])

    async def on_session_ended(self, session: Session, event: Received[SessionEnded]) -> None:
        await notices.wake_all(session, [event.body.id_in_key()])
