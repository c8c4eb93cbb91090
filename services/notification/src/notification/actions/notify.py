"""Creates notices and deliveries for events."""

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
    """Creates notices and deliveries for events of the session's one tenant: a notice per rule, event and person, a delivery
    per webhook and event. Imported history creates none. Events older than one that came before about the same subject
    create no notices; webhooks still get them. `mail`: whether a mail server is configured."""
    live = [event for event in events if not is_history(event.body)]
    if not live:
        return
    composed, pending = await _compose(session, live, mail=mail)
    new_ids: set[UUID | None] = {None}
    if composed:
        new_ids |= await notices.insert_notices(session, composed)
        session.after_commit.append(partial(NOTICES.inc, len(new_ids) - 1))
    if pending := [each for each in pending if each.notice_id in new_ids]:
        await deliveries.insert_deliveries(session, pending)


async def queue_webhook_delivery(
    session: Session, webhook: str, event_type: str, event_id: UUID, payload: str
) -> UUID | None:
    """Queues a delivery of an event to a webhook. Returns its id; None when the event was queued for the webhook before."""
    delivery = Delivery(
        session.tenant, new_id(), "webhook", event_id, event_type, session.now, webhook=webhook, payload=payload
    )
    return delivery.id if await deliveries.insert_deliveries(session, [delivery]) else None


async def _compose(
    session: Session, events: Sequence[ReceivedEvent[Any]], *, mail: bool
) -> tuple[list[Notice], list[Delivery]]:
    composed: list[Notice] = []
    composed_deliveries: list[Delivery] = []
    configured = await configuration.load_configuration(session)
    rules_by_event: dict[str, list[Rule]] = {}
    for rule in configured.rules:
        rules_by_event.setdefault(rule.on, []).append(rule)
    outdated = await _find_outdated(session, events) if rules_by_event else set[UUID]()
    matches: list[tuple[ReceivedEvent[Any], list[Rule]]] = []
    for event in events:
        candidates = () if event.attributes.id in outdated else rules_by_event.get(event.body.type, ())
        matches.append((event, [rule for rule in candidates if rule.matches(event.body)]))
    matched_rules = {rule.rule: rule for _, rules in matches for rule in rules}
    composer = None
    if matched_rules:
        matched_events = [event for event, rules in matches if rules]
        composer = await _load_composer(
            session, matched_events, list(matched_rules.values()), configured.texts, mail=mail
        )
    for event, rules in matches:
        if composer is not None and rules:
            for notice, notice_deliveries in composer.compose_notices(event.body, event.attributes, rules):
                composed.append(notice)
                composed_deliveries += notice_deliveries
        webhooks = [name for name, types in configured.webhook_events.items() if {"*", event.body.type} & types]
        composed_deliveries += build_webhook_deliveries(event.body, event.attributes, webhooks)
    return composed, composed_deliveries


async def _find_outdated(session: Session, events: Sequence[ReceivedEvent[Any]]) -> set[UUID]:
    """Ids of the events that come after a newer one about the same subject."""
    versions = [
        (event.attributes.id, version) for event in events if (version := find_subject_version(event.body)) is not None
    ]
    if not versions:
        return set()
    are_newest = await notices.record_versions(session, [version for _, version in versions])
    return {id for (id, _), is_newest in zip(versions, are_newest, strict=True) if not is_newest}


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
    memberships = await people.load_memberships(session, agents) if agents and roles else {}
    for agent_id in agents - known.keys():
        log.warning("%s has events about %s, who is not in the directory", session.tenant, agent_id)
    workdays = await directory.load_workdays(session, agents if roles else ())
    return NoticeComposer(await directory.load_tenant(session), Audience(known, memberships), workdays, texts, mail)
