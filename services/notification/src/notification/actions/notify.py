"""Telling people of an event, and the tenant's endpoints."""

import json
import logging
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts import Attributes, Event, new_id
from contracts.directory import PersonChanged, TenantChanged
from servicekit import directory
from storage import Session

from notification.model.events import fields_of, is_history, language_of, references_of
from notification.model.rules import Rule, Text
from notification.model.templates import BadText, render, render_subject
from notification.model.texts import DEFAULT_TEXTS
from notification.store import configuration, deliveries, notices

log = logging.getLogger("uplift.notification")


async def tell(session: Session, body: Event, attributes: Attributes, *, mail: bool) -> None:
    """Once per rule, event and person; once per endpoint and event. History tells nobody. `mail`: whether there is a
    mail server."""
    if is_history(body):
        return
    on = body.type
    all_rules = await session.once(("rules", on), lambda: configuration.rules(session, on=on))
    rules = [rule for rule in all_rules if rule.matches(body)]
    endpoints = await session.once(("webhooks", on), lambda: configuration.webhooks_for(session, on))
    if rules:
        await session.once(("turn",), lambda: notices.take_turns(session))
        tenant = await directory.tenant(session)
        today = session.now.astimezone(ZoneInfo(tenant.time_zone)).date()
        agent = await _agent(session, body)
        for rule in rules:
            texts = await _texts(session, rule)
            for person in await _recipients(session, rule, agent, today):
                await _notify(session, body, attributes, rule, texts, person, agent, tenant, mail=mail)
    if endpoints:
        payload = webhook_payload(body, attributes)
        for endpoint in endpoints:
            await send_to_webhook(session, endpoint, body.type, attributes.id, payload)


def webhook_payload(body: Event, attributes: Attributes) -> str:
    """As Standard Webhooks lays it out: type, timestamp, data."""
    whole = {
        "type": body.type,
        "timestamp": attributes.time.isoformat(),
        "tenant": attributes.tenant,
        "data": body.model_dump(mode="json"),
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


async def send_to_webhook(session: Session, webhook: str, event_type: str, event_id: UUID, payload: str) -> UUID | None:
    """Queues a delivery. None when this event was queued for this endpoint before."""
    values = {"id": new_id(), "channel": "webhook", "webhook": webhook, "payload": payload}
    return await _queue(session, values, event_type, event_id)


async def _queue(session: Session, values: dict[str, Any], event_type: str, event_id: UUID) -> UUID | None:
    common = {"event_id": event_id, "event_type": event_type, "state": "pending", "next_at": session.now}
    if not await deliveries.add(session, values | common):
        return None
    await session.schedule("deliver", str(values["id"]), session.now)
    return values["id"]


async def _agent(session: Session, body: Event) -> PersonChanged | None:
    agent_id = getattr(body, "agent_id", None)
    agent = (await _people(session, [agent_id])).get(agent_id) if agent_id else None
    if agent_id and agent is None:
        log.warning("%s of %s is about %s, whom the directory does not know", body.type, session.tenant, agent_id)
    return agent


async def _recipients(session: Session, rule: Rule, agent: PersonChanged | None, today: date) -> list[PersonChanged]:
    """Active people, each once, in one order always."""
    if rule.to == "agent":
        found = [agent] if agent else []
    elif rule.to == "leads":
        found = await _leads(session, agent.id, today) if agent else []
    else:
        role = rule.to.partition(":")[2]
        units = await notices.units_above(session, agent.id, today) if agent else None
        found = [
            person
            for person in await notices.people_with_role(session, role)
            if any(
                each.role == role
                and each.holds_on(today)
                and (each.org_unit_id is None or units is None or each.org_unit_id in units)
                for each in person.roles
            )
        ]
    return sorted((each for each in found if each.active and each.kind == "person"), key=lambda each: each.id)


async def _people(session: Session, ids: list[UUID]) -> dict[UUID, PersonChanged]:
    return await session.once(("people", *ids), lambda: directory.people(session, ids))


async def _leads(session: Session, agent_id: UUID, day: date) -> list[PersonChanged]:
    ids = await session.once(("leads", agent_id, day), lambda: directory.leads_of(session, agent_id, day))
    return list((await _people(session, sorted(ids))).values())


async def _texts(session: Session, rule: Rule) -> dict[str, Text]:
    """By language: the tenant's own before what comes with the product."""
    key = rule.text_key
    texts = await session.once(("texts", key), lambda: configuration.texts(session, key=key))
    own = texts.get(key, {})
    return {**DEFAULT_TEXTS.get(key, {}), **own}


async def _notify(
    session: Session,
    body: Event,
    attributes: Attributes,
    rule: Rule,
    texts: dict[str, Text],
    person: PersonChanged,
    agent: PersonChanged | None,
    tenant: TenantChanged,
    *,
    mail: bool,
) -> None:
    wanted = language_of(person.language, tenant.default_language)
    language = next((each for each in (wanted, tenant.default_language, "en", *texts) if each in texts), wanted)
    context = fields_of(body, language=language, time_zone=tenant.time_zone) | {
        "agent": {"name": agent.display_name if agent else ""},
        "person": {"name": person.display_name},
        "tenant": {"name": tenant.name},
        "to_self": agent is not None and agent.id == person.id,
    }
    subject, text = _rendered(body, texts.get(language), context, language)
    notice_id = new_id()
    values = {
        "id": notice_id,
        "person_id": person.id,
        "rule": rule.rule,
        "event_id": attributes.id,
        "event_type": body.type,
        "in_app": "in_app" in rule.channels,
        "language": language,
        "subject": subject,
        "body": text,
        "refs": references_of(body) | ({"agent": agent.slug, "name": agent.display_name} if agent else {}),
        "at": session.now,
        "read_at": None,
    }
    if not await notices.add(session, values):
        return
    for channel in rule.channels:
        shown = {"id": new_id(), "channel": channel, "notice_id": notice_id}
        if channel == "in_app":
            state, detail = "delivered", ""
        elif not mail:
            state, detail = "skipped", "no mail server is configured"
        elif not person.email:
            state, detail = "skipped", "this person has no mail address"
        else:
            await _queue(session, shown, body.type, attributes.id)
            continue
        done = {"event_id": attributes.id, "event_type": body.type, "state": state, "detail": detail}
        await deliveries.add(session, shown | done)


def _rendered(body: Event, text: Text | None, context: dict[str, Any], language: str) -> tuple[str, str]:
    """A text that fails on this very event must not keep the news away: then the product's own takes its place."""
    for each in (text, DEFAULT_TEXTS.get(body.type, {}).get(language)):
        if each is not None:
            try:
                return render_subject(each.subject, context), render(each.body, context)
            except BadText:
                continue
    return body.type, body.type
