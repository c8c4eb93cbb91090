"""What people and endpoints are told: composed from an event, the rules, the texts and the directory."""

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
    """What rule `rule` tells a person of an event, at the time `at`."""

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
    """Of a notice by a channel, or of an event to a webhook. Only what is `pending` is still to be sent."""

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
    """What one tenant's news are made from. `workdays`: of the people whom they are about; `texts`: the tenant's own, by
    key and language; `mail`: whether there is a mail server."""

    tenant: TenantChanged
    audience: Audience
    workdays: Workdays
    texts: Mapping[str, Mapping[str, Text]]
    mail: bool

    def compose_notices(
        self, body: Event, attributes: Attributes, rules: Sequence[Rule]
    ) -> Iterator[tuple[Notice, list[Delivery]]]:
        """Each notice with its deliveries, one a channel."""
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
        wanted = select_language(person.language, self.tenant.default_language)
        return next((each for each in (wanted, self.tenant.default_language, "en", *texts) if each in texts), wanted)

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
    """The event to each of these endpoints."""
    if not webhooks:
        return []
    payload = webhook_payload(body, attributes)
    return [
        Delivery(
            attributes.tenant, new_id(), "webhook", attributes.id, body.type, attributes.time,
            webhook=webhook, payload=payload,
        )
        for webhook in webhooks
    ]  # fmt: skip


def webhook_payload(body: Event, attributes: Attributes) -> str:
    """As Standard Webhooks lays it out: type, timestamp, data."""
    whole = {
        "type": body.type,
        "timestamp": attributes.time.isoformat(),
        "tenant": attributes.tenant,
        "data": body.model_dump(mode="json"),
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _render_with_fallback(body: Event, text: Text | None, context: dict[str, Any], language: str) -> tuple[str, str]:
    """A text that fails on this very event must not keep the news away: then the product's own takes its place."""
    for each in (text, DEFAULT_TEXTS.get(body.type, {}).get(language)):
        if each is not None:
            try:
                return render_subject(each.subject, context), render(each.body, context)
            except BadText:
                continue
    return body.type, body.type
