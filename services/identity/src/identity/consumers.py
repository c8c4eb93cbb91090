"""The event door: answers of services about their sections of a blueprint, and changes of configuration for the audit log."""

from contracts import Event
from contracts.audit import ConfigurationChanged
from contracts.blueprints import SectionApplied, SectionRejected
from contracts.topics import TOPICS
from servicekit import ReceivedEvent, Subscription
from servicekit.blueprints import store_section_names
from servicekit.service_definition import EventHandler
from storage import Session

from identity.store import audit, blueprints

_SECTION_TOPICS = [name for name in TOPICS if name.endswith(".sections")]
_AUDIT_TOPICS = [name for name in TOPICS if name.endswith(".audit")]


def subscriptions() -> list[Subscription]:
    """All topics that identity reads."""
    answers: dict[type[Event], EventHandler] = {
        SectionApplied: on_section_applied,
        SectionRejected: on_section_rejected,
    }
    return [
        *(Subscription(topic, answers) for topic in _SECTION_TOPICS),
        *(
            Subscription(topic, batch=on_configuration_changed, types=(ConfigurationChanged,), by_tenant=True)
            for topic in _AUDIT_TOPICS
        ),
    ]


async def on_section_applied(session: Session, event: ReceivedEvent[SectionApplied]) -> None:
    """Stores that a service has applied its section, and the names in it."""
    body = event.body
    await store_section_names(session, event)
    await blueprints.record_section_applied(session, body.service, body.version, body.content, event.attributes.id)


async def on_section_rejected(session: Session, event: ReceivedEvent[SectionRejected]) -> None:
    """Stores that a service has rejected its section, with the problems."""
    body = event.body
    problems = [problem.model_dump() for problem in body.problems]
    await blueprints.record_section_rejected(session, body.service, body.version, problems)


async def on_configuration_changed(session: Session, events: list[ReceivedEvent[ConfigurationChanged]]) -> None:
    """Adds the changes to the audit log."""
    await audit.insert_entries(session, [(each.attributes, each.body) for each in events])
