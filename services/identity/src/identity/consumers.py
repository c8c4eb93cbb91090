"""What the other services say of their sections of a blueprint, and all of them of changes of their configuration."""

from contracts.audit import ConfigurationChanged
from contracts.blueprints import SectionApplied, SectionRejected
from servicekit import ReceivedEvent
from servicekit.blueprints import store_section_names
from storage import Session

from identity.store import audit, blueprints


async def on_section_applied(session: Session, event: ReceivedEvent[SectionApplied]) -> None:
    body = event.body
    await store_section_names(session, event)
    await blueprints.record_section_applied(session, body.service, body.version, body.content, event.attributes.id)


async def on_section_rejected(session: Session, event: ReceivedEvent[SectionRejected]) -> None:
    body = event.body
    problems = [problem.model_dump() for problem in body.problems]
    await blueprints.record_section_rejected(session, body.service, body.version, problems)


async def on_configuration_changed(session: Session, events: list[ReceivedEvent[ConfigurationChanged]]) -> None:
    await audit.insert_entries(session, [(each.attributes, each.body) for each in events])
