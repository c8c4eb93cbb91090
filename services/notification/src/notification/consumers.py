"""The event door: events that rules match, blueprints, and changes that end open streams."""

from typing import Any

from contracts.assignments import AssignmentAssigned
from contracts.awards import PointsGranted
from contracts.blueprints import BlueprintPublished
from contracts.directory import PersonChanged, SessionEnded, TenantChanged
from contracts.scores import BandEntered
from contracts.submissions import FormPublished
from servicekit import ReceivedEvent, Subscription
from servicekit.blueprints import handle_section, subscribe_to_names
from servicekit.outbound import UrlPolicy
from storage import Session

from notification.actions import configure, notify
from notification.model.events import EVENTS
from notification.model.rules import NotificationSection
from notification.store import notices

NOTIFICATION_TOPICS = (BandEntered.topic, AssignmentAssigned.topic, PointsGranted.topic, FormPublished.topic)


class Consumers:
    """Handlers of events. `mail`: whether a mail server is configured."""

    def __init__(self, policy: UrlPolicy, *, mail: bool) -> None:
        self._policy = policy
        self._mail = mail

    def subscriptions(self) -> list[Subscription]:
        """All topics that notification reads."""
        return [
            *(
                Subscription(topic, batch=self.on_events, types=EVENTS.values(), by_tenant=True)
                for topic in NOTIFICATION_TOPICS
            ),
            Subscription("blueprints", {BlueprintPublished: self.on_blueprint}),
            *subscribe_to_names("kpi-engine", "training", "gamification", "forms"),
            Subscription(
                "directory",
                {
                    PersonChanged: self.on_person,
                    TenantChanged: self.on_tenant,
                    SessionEnded: self.on_session_ended,
                },
            ),
        ]

    async def on_events(self, session: Session, events: list[ReceivedEvent[Any]]) -> None:
        """Creates notices and deliveries for a batch of one tenant's events."""
        await notify.create_notices(session, events, mail=self._mail)

    async def on_blueprint(self, session: Session, event: ReceivedEvent[BlueprintPublished]) -> None:
        """Applies the section `notification`, or nothing of it, and publishes `SectionApplied` or `SectionRejected`."""
        await handle_section(
            session,
            event,
            NotificationSection,
            lambda section: configure.apply_section(session, section, self._policy),
            lambda version: configure.publish_section_applied(session, version=version),
        )

    async def on_person(self, session: Session, event: ReceivedEvent[PersonChanged]) -> None:
        """Wakes the person's streams, which check whether the person may still read them."""
        await notices.notify_people_streams(session, [(session.tenant, event.body.id)])

    async def on_tenant(self, session: Session, event: ReceivedEvent[TenantChanged]) -> None:
        """Wakes the streams of a tenant that was deactivated, which then end."""
        if not event.body.active:
            await notices.notify_streams(session, [f"{event.body.slug}/"])

    async def on_session_ended(self, session: Session, event: ReceivedEvent[SessionEnded]) -> None:
        """Wakes the streams of a login session that ended, which then end."""
        await notices.notify_streams(session, [event.body.id_in_key()])
