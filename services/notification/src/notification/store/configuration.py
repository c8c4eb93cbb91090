"""Rules, texts and webhooks of a tenant."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import from_json
from servicekit.stored import parse_all_stored
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from notification.model.rules import Rule, Text
from notification.store import tables


@dataclass(frozen=True)
class Configuration:
    """A tenant's configuration: `rules` in its order, its own `texts` by key and language, and the event types of each
    enabled webhook, by name."""

    rules: tuple[Rule, ...]
    texts: Mapping[str, Mapping[str, Text]]
    webhook_events: Mapping[str, frozenset[str]]


class WebhookRow(NamedTuple):
    """A stored webhook. `disabled_reason`: why the service disabled it; None when it did not. `previous_salt`: that of the
    secret before the last rotation, which signs too until `previous_until`."""

    webhook: str
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    salt: str
    previous_salt: str | None
    previous_until: datetime | None
    created_at: datetime


_WEBHOOK_COLUMNS = ", ".join(WebhookRow._fields)


_CONFIGURATION = """
SELECT (SELECT json_agg(body ORDER BY position)::text FROM rule WHERE tenant = :tenant),
       (SELECT json_agg(json_build_array(key, language, subject, body) ORDER BY key, language)::text
        FROM text WHERE tenant = :tenant),
       (SELECT json_agg(json_build_array(webhook, events) ORDER BY webhook)::text
        FROM webhook WHERE tenant = :tenant AND enabled)
"""


async def load_configuration(session: Session) -> Configuration:
    """The configuration of the session's tenant."""
    return _parse_configuration(*(await session.tuples(_CONFIGURATION, {"tenant": session.tenant}))[0])


# Every batch loads the configuration, and it seldom changes.
@lru_cache(maxsize=256)
def _parse_configuration(rules: str | None, texts: str | None, webhooks: str | None) -> Configuration:
    return Configuration(
        tuple(_parse_rules(from_json(rules or "[]"))),
        _group_texts(from_json(texts or "[]")),
        {name: frozenset(events) for name, events in from_json(webhooks or "[]")},
    )


async def load_rules(session: Session) -> list[Rule]:
    """All rules, in the tenant's order."""
    return _parse_rules(
        await session.scalars(
            "SELECT body FROM rule WHERE tenant = :tenant ORDER BY position", {"tenant": session.tenant}
        )
    )


def _parse_rules(bodies: list[Any]) -> list[Rule]:
    return parse_all_stored("a notification rule", Rule.model_validate, bodies)


async def replace_rules(session: Session, rules: list[Rule]) -> None:
    """Replaces all rules of the tenant by these, in this order."""
    await session.execute(delete(tables.rule).where(tables.rule.c.tenant == session.tenant))
    if rules:
        rows = [
            {
                "tenant": session.tenant,
                "rule": each.rule,
                "on_event": each.on,
                "position": position,
                "body": each.model_dump(mode="json"),
            }
            for position, each in enumerate(rules)
        ]
        await session.execute(insert(tables.rule), rows)


async def load_texts(session: Session) -> dict[str, dict[str, Text]]:
    """The tenant's own texts, by key and language."""
    rows = await session.tuples(
        "SELECT key, language, subject, body FROM text WHERE tenant = :tenant ORDER BY key, language",
        {"tenant": session.tenant},
    )
    return _group_texts(rows)


def _group_texts(rows: Iterable[Sequence[str]]) -> dict[str, dict[str, Text]]:
    """Texts by key and language, from rows of (key, language, subject, body)."""
    found: dict[str, dict[str, Text]] = {}
    for key, language, subject, body in rows:
        found.setdefault(key, {})[language] = Text(subject=subject, body=body)
    return found


async def replace_texts(session: Session, texts: Mapping[str, Mapping[Any, Text]]) -> None:
    """Replaces all of the tenant's own texts, given by key and language."""
    await session.execute(delete(tables.text).where(tables.text.c.tenant == session.tenant))
    rows = [
        {"tenant": session.tenant, "key": key, "language": language, "subject": each.subject, "body": each.body}
        for key, languages in texts.items()
        for language, each in languages.items()
    ]
    if rows:
        await session.execute(insert(tables.text), rows)


async def load_webhooks(session: Session) -> list[WebhookRow]:
    """All webhooks, by name."""
    rows = await session.tuples(
        f"SELECT {_WEBHOOK_COLUMNS} FROM webhook WHERE tenant = :tenant ORDER BY webhook",  # noqa: S608
        {"tenant": session.tenant},
    )
    return [WebhookRow(*row) for row in rows]


async def find_webhook(session: Session, name: str) -> WebhookRow | None:
    """The webhook, or None."""
    rows = await session.tuples(
        f"SELECT {_WEBHOOK_COLUMNS} FROM webhook WHERE tenant = :tenant AND webhook = :webhook",  # noqa: S608
        {"tenant": session.tenant, "webhook": name},
    )
    return WebhookRow(*rows[0]) if rows else None


async def upsert_webhook(session: Session, webhook: WebhookRow) -> None:
    """Inserts or replaces a webhook."""
    values = webhook._asdict()
    await session.execute(
        insert(tables.webhook)
        .values(tenant=session.tenant, **values)
        .on_conflict_do_update(index_elements=["tenant", "webhook"], set_=values)
    )


async def delete_webhook(session: Session, name: str) -> bool:
    """Deletes a webhook. Returns whether there was one."""
    deleted = await session.execute(
        delete(tables.webhook).where(tables.webhook.c.tenant == session.tenant, tables.webhook.c.webhook == name)
    )
    return deleted.rowcount == 1


async def disable_webhook(session: Session, name: str, reason: str) -> None:
    """Disables a webhook, with the reason."""
    await session.execute(
        "UPDATE webhook SET enabled = false, disabled_reason = :reason WHERE tenant = :tenant AND webhook = :webhook",
        {"tenant": session.tenant, "webhook": name, "reason": reason},
    )
