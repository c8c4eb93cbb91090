"""Telling people of events, and the tenant's endpoints."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from contracts import new_id
from servicekit import ReceivedEvent, directory
from storage import Session

from notification.metrics import NOTICES
from notification.model.audience import Audience, find_role
from notification.model.events import find_subject_version, is_history
from notification.model.notice_composer import Delivery, Notice, NoticeComposer, build_webhook_deliveries
from notification.model.rules import Rule, Text
from notification.store import configuration, deliveries, notices, people

log = logging.getLogger("uplift.notification")


async def create_notices(session: Session, events: Sequence[ReceivedEvent[Any]], *, mail: bool) -> None:
    """Once per rule, event and person; once per endpoint and event. History tells nobody, and nobody is told of what is
    no longer so: what is older than what was heard of the same thing goes to endpoints only, whose programs can tell. `mail`: whether there is a
    mail server. The events are of the session's one tenant."""
    live = [event for event in events if not is_history(event.body)]
    if not live:
        return
    told, wanted = await _compose(session, live, mail=mail)
    new: set[UUID | None] = {None}
    if told:
        new |= await notices.insert_notices(session, told)
        session.after_commit.append(partial(NOTICES.inc, len(new) - 1))
    if wanted := [each for each in wanted if each.notice_id in new]:
        await deliveries.insert_deliveries(session, wanted)


async def queue_webhook_delivery(
    session: Session, webhook: str, event_type: str, event_id: UUID, payload: str
) -> UUID | None:
    """Queues a delivery. None when this event was queued for this endpoint before."""
    delivery = Delivery(
        session.tenant, new_id(), "webhook", event_id, event_type, session.now, webhook=webhook, payload=payload
    )
    return delivery.id if await deliveries.insert_deliveries(session, [delivery]) else None


async def _compose(
    session: Session, events: Sequence[ReceivedEvent[Any]], *, mail: bool
) -> tuple[list[Notice], list[Delivery]]:
    told: list[Notice] = []
    wanted: list[Delivery] = []
    configured = await configuration.load_configuration(session)
    rules_of: dict[str, list[Rule]] = {}
    for rule in configured.rules:
        rules_of.setdefault(rule.on, []).append(rule)
    late = await _find_outdated(session, events) if rules_of else set[UUID]()
    matched = [
        (e, [rule for rule in rules_of.get(e.body.type, ()) if e.attributes.id not in late and rule.matches(e.body)])
        for e in events
    ]
    in_force = {rule.rule: rule for _, found in matched for rule in found}
    newsroom = None
    if in_force:
        heard = [event for event, found in matched if found]
        newsroom = await _load_composer(session, heard, list(in_force.values()), configured.texts, mail=mail)
    for event, found in matched:
        if newsroom is not None and found:
            for notice, of_notice in newsroom.compose_notices(event.body, event.attributes, found):
                told.append(notice)
                wanted += of_notice
        wanting = [name for name, events in configured.webhook_events.items() if {"*", event.body.type} & events]
        wanted += build_webhook_deliveries(event.body, event.attributes, wanting)
    return told, wanted


async def _find_outdated(session: Session, events: Sequence[ReceivedEvent[Any]]) -> set[UUID]:
    """Events that come after newer ones about the same thing."""
    ordered = [
        (event.attributes.id, place) for event in events if (place := find_subject_version(event.body)) is not None
    ]
    if not ordered:
        return set()
    news = await notices.record_versions(session, [place for _, place in ordered])
    return {id for (id, _), is_news in zip(ordered, news, strict=True) if not is_news}


async def _load_composer(
    session: Session,
    events: Sequence[ReceivedEvent[Any]],
    rules: Sequence[Rule],
    texts: Mapping[str, Mapping[str, Text]],
    *,
    mail: bool,
) -> NoticeComposer:
    agents = {event.body.agent_id for event in events if hasattr(event.body, "agent_id")}
    roles = {role for role in map(find_role, rules) if role is not None}
    known = await people.load_people(session, agents, roles) if agents or roles else {}
    places = await people.load_memberships(session, agents) if agents and roles else {}
    for agent_id in agents - known.keys():
        log.warning("%s has news about %s, whom the directory does not know", session.tenant, agent_id)
    workdays = await directory.load_workdays(session, agents if roles else ())
    return NoticeComposer(await directory.load_tenant(session), Audience(known, places), workdays, texts, mail)
