"""Composes notices and deliveries from an event, the rules, the texts and the directory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts import Attributes, Event, new_id
from contracts.directory import PersonChanged, TenantChanged
from servicekit.languages import select_language
from servicekit.workdays import Workdays

from notification.model.audience import Audience
from notification.model.events import find_reference_fields, render_fields
from notification.model.rules import Rule, Text
from notification.model.templates import BadText, render, render_subject
from notification.model.texts import DEFAULT_TEXTS


@dataclass(frozen=True)
class Notice:
    """A notice to a person about an event, by one rule. `at`: the event's time; `refs`: ids and names of what it is about."""

    tenant: str
    id: UUID
    person_id: UUID
    rule: str
    event_id: UUID
    event_type: str
    in_app: bool
    language: str
    subject: str
    body: str
    refs: dict[str, Any]
    at: datetime


@dataclass(frozen=True)
class Delivery:
    """A delivery of a notice by a channel, or of an event to a webhook. Only `pending` ones are sent."""

    tenant: str
    id: UUID
    channel: str
    event_id: UUID
    event_type: str
    at: datetime
    state: str = "pending"
    detail: str = ""
    notice_id: UUID | None = None
    webhook: str | None = None
    payload: str | None = None


@dataclass(frozen=True)
class NoticeComposer:
    """Composes one tenant's notices. `workdays`: of the agents; `texts`: the tenant's own, by key and language; `mail`:
    whether a mail server is configured."""

    tenant: TenantChanged
    audience: Audience
    workdays: Workdays
    texts: Mapping[str, Mapping[str, Text]]
    mail: bool

    def compose_notices(
        self, body: Event, attributes: Attributes, rules: Sequence[Rule]
    ) -> Iterator[tuple[Notice, list[Delivery]]]:
        """The notices of an event by these rules, each with one delivery per channel."""
        agent = self.audience.find_person(getattr(body, "agent_id", None))
        today = self.workdays.workday_of(agent.id if agent else None, attributes.time)
        refs = find_reference_fields(body) | ({"agent": agent.slug, "name": agent.display_name} if agent else {})
        fields: dict[str, dict[str, Any]] = {}
        for rule in rules:
            texts = {**DEFAULT_TEXTS.get(rule.text_key, {}), **self.texts.get(rule.text_key, {})}
            for person in self.audience.find_recipients(rule, agent, today):
                language = self._language(person, texts)
                if language not in fields:
                    fields[language] = render_fields(body, language=language, time_zone=self.tenant.time_zone)
                context = fields[language] | {
                    "agent": {"name": agent.display_name if agent else ""},
                    "person": {"name": person.display_name},
                    "tenant": {"name": self.tenant.name},
                    "to_self": agent is not None and agent.id == person.id,
                }
                subject, text = _render_with_fallback(body, texts.get(language), context, language)
                notice = Notice(
                    attributes.tenant, new_id(), person.id, rule.rule, attributes.id, body.type,
                    "in_app" in rule.channels, language, subject, text, refs, attributes.time,
                )  # fmt: skip
                yield notice, [self._delivery(notice, channel, person) for channel in rule.channels]

    def _language(self, person: PersonChanged, texts: Mapping[str, Text]) -> str:
        preferred = select_language(person.language, self.tenant.default_language)
        fallbacks = (preferred, self.tenant.default_language, "en", *texts)
        return next((each for each in fallbacks if each in texts), preferred)

    def _delivery(self, notice: Notice, channel: str, person: PersonChanged) -> Delivery:
        state, detail = "pending", ""
        if channel == "in_app":
            state = "delivered"
        elif not self.mail:
            state, detail = "skipped", "no mail server is configured"
        elif not person.email:
            state, detail = "skipped", "this person has no mail address"
        return Delivery(
            notice.tenant, new_id(), channel, notice.event_id, notice.event_type, notice.at, state, detail, notice.id
        )


def build_webhook_deliveries(body: Event, attributes: Attributes, webhooks: Sequence[str]) -> list[Delivery]:
    """The deliveries of an event to these webhooks, given by name."""
    if not webhooks:
        return []
    payload = render_webhook_payload(body, attributes)
    return [
        Delivery(
            attributes.tenant, new_id(), "webhook", attributes.id, body.type, attributes.time,
            webhook=webhook, payload=payload,
        )
        for webhook in webhooks
    ]  # fmt: skip


def render_webhook_payload(body: Event, attributes: Attributes) -> str:
    """The JSON payload in the form of Standard Webhooks (`type`, `timestamp`, `data`), with the tenant."""
    payload = {
        "type": body.type,
        "timestamp": attributes.time.isoformat(),
        "tenant": attributes.tenant,
        "data": body.model_dump(mode="json"),
    }
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def _render_with_fallback(body: Event, text: Text | None, context: dict[str, Any], language: str) -> tuple[str, str]:
    """Subject and body. A text that fails for this event must not prevent the notice: then the product's own is used."""
    for each in (text, DEFAULT_TEXTS.get(body.type, {}).get(language)):
        if each is not None:
            try:
                return render_subject(each.subject, context), render(each.body, context)
            except BadText:
                continue
    return body.type, body.type
