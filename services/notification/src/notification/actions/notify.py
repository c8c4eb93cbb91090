"""Telling people of events, and the tenant's endpoints."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from contracts import new_id
from servicekit import Received, directory, metrics
from storage import Session

from notification.model.audience import Audience, role_of
from notification.model.events import is_history
from notification.model.news import Delivery, Newsroom, Notice, posts
from notification.model.rules import Rule
from notification.store import configuration, deliveries, notices, people

log = logging.getLogger("uplift.notification")


async def tell(session: Session, events: Sequence[Received[Any]], *, mail: bool) -> None:
    """Once per rule, event and person; once per endpoint and event. History tells nobody. `mail`: whether there is a
    mail server. The events are of the session's one tenant."""
    live = [event for event in events if not is_history(event.body)]
    if not live:
        return
    told, wanted = await _compose(session, live, mail=mail)
    new: set[UUID | None] = {None}
    if told:
        await notices.take_turns(session)
        new |= await notices.add(session, told)
        session.after_commit.append(partial(metrics.NOTICES.inc, len(new) - 1))
        woken = {(each.tenant, each.person_id) for each in told if each.in_app and each.id in new}
        if woken:
            await notices.wake(session, woken)
    if wanted := [each for each in wanted if each.notice_id in new]:
        await deliveries.add(session, wanted)


async def send_to_webhook(session: Session, webhook: str, event_type: str, event_id: UUID, payload: str) -> UUID | None:
    """Queues a delivery. None when this event was queued for this endpoint before."""
    delivery = Delivery(
        session.tenant, new_id(), "webhook", event_id, event_type, session.now, webhook=webhook, payload=payload
    )
    return delivery.id if await deliveries.add(session, [delivery]) else None


async def _compose(
    session: Session, events: Sequence[Received[Any]], *, mail: bool
) -> tuple[list[Notice], list[Delivery]]:
    told: list[Notice] = []
    wanted: list[Delivery] = []
    rules = await configuration.rules(session)
    endpoints = [each for each in await configuration.webhooks(session) if each["enabled"]]
    rules_of: dict[str, list[Rule]] = {}
    for rule in rules:
        rules_of.setdefault(rule.on, []).append(rule)
    matched = [(e, [rule for rule in rules_of.get(e.body.type, ()) if rule.matches(e.body)]) for e in events]
    in_force = {rule.rule: rule for _, found in matched for rule in found}
    newsroom = None
    if in_force:
        newsroom = await _newsroom(session, [e for e, found in matched if found], list(in_force.values()), mail=mail)
    for event, found in matched:
        if newsroom is not None and found:
            for notice, of_notice in newsroom.notices(event.body, event.attributes, found):
                told.append(notice)
                wanted += of_notice
        wanting = [each["webhook"] for each in endpoints if {"*", event.body.type} & set(each["events"])]
        wanted += posts(event.body, event.attributes, wanting)
    return told, wanted


async def _newsroom(
    session: Session, events: Sequence[Received[Any]], rules: Sequence[Rule], *, mail: bool
) -> Newsroom:
    agents = {event.body.agent_id for event in events if hasattr(event.body, "agent_id")}
    roles = {role for role in map(role_of, rules) if role is not None}
    known = await people.people(session, agents, roles) if agents or roles else {}
    places = await people.places(session, agents) if agents and roles else {}
    for agent_id in agents - known.keys():
        log.warning("%s has news about %s, whom the directory does not know", session.tenant, agent_id)
    own_texts = await configuration.texts(session)
    return Newsroom(await directory.tenant(session), Audience(known, places), own_texts, mail)
