"""Rules, texts, webhooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic_core import from_json
from servicekit.stored import parse_all_stored
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from notification.model.rules import Rule, Text, Webhook
from notification.store import tables


@dataclass(frozen=True)
class Configuration:
    """What news are made by: rules in the tenant's order, its own texts by key and language, and the endpoints that are
    switched on, by name, with the events they want."""

    rules: tuple[Rule, ...]
    texts: Mapping[str, Mapping[str, Text]]
    endpoints: Mapping[str, frozenset[str]]


_CONFIGURATION = """
SELECT (SELECT json_agg(body ORDER BY position)::text FROM rule WHERE tenant = :tenant),
       (SELECT json_agg(json_build_array(key, language, subject, body) ORDER BY key, language)::text
        FROM text WHERE tenant = :tenant),
       (SELECT json_agg(json_build_array(webhook, events) ORDER BY webhook)::text
        FROM webhook WHERE tenant = :tenant AND enabled)
"""


async def load_configuration(session: Session) -> Configuration:
    """Rules, texts and enabled endpoints of the tenant."""
    return _parse_configuration(*(await session.tuples(_CONFIGURATION, {"tenant": session.tenant}))[0])


# Every batch asks, and the answer is seldom another one.
@lru_cache(maxsize=256)
def _parse_configuration(rules: str | None, texts: str | None, endpoints: str | None) -> Configuration:
    own: dict[str, dict[str, Text]] = {}
    for key, language, subject, body in from_json(texts or "[]"):
        own.setdefault(key, {})[language] = Text(subject=subject, body=body)
    return Configuration(
        tuple(_read(from_json(rules or "[]"))),
        own,
        {name: frozenset(events) for name, events in from_json(endpoints or "[]")},
    )


async def load_rules(session: Session) -> list[Rule]:
    """In the tenant's order."""
    rows = await session.rows(
        "SELECT body FROM rule WHERE tenant = :tenant ORDER BY position", {"tenant": session.tenant}
    )
    return _read([row["body"] for row in rows])


def _read(bodies: list[Any]) -> list[Rule]:
    return parse_all_stored("a notification rule", Rule.model_validate, bodies)


async def replace_rules(session: Session, wanted: list[Rule]) -> None:
    """Replaces all rules, in this order."""
    await session.execute(delete(tables.rule).where(tables.rule.c.tenant == session.tenant))
    if wanted:
        rows = [
            {
                "tenant": session.tenant,
                "rule": each.rule,
                "on_event": each.on,
                "position": position,
                "body": each.model_dump(mode="json"),
            }
            for position, each in enumerate(wanted)
        ]
        await session.execute(insert(tables.rule), rows)


async def load_texts(session: Session) -> dict[str, dict[str, Text]]:
    """The tenant's own, by key and language."""
    rows = await session.rows(
        "SELECT key, language, subject, body FROM text WHERE tenant = :tenant ORDER BY key, language",
        {"tenant": session.tenant},
    )
    found: dict[str, dict[str, Text]] = {}
    for row in rows:
        found.setdefault(row["key"], {})[row["language"]] = Text(subject=row["subject"], body=row["body"])
    return found


async def replace_texts(session: Session, wanted: dict[str, dict[Any, Text]]) -> None:
    """Replaces all of the tenant's own texts."""
    await session.execute(delete(tables.text).where(tables.text.c.tenant == session.tenant))
    rows = [
        {"tenant": session.tenant, "key": key, "language": language, "subject": each.subject, "body": each.body}
        for key, languages in wanted.items()
        for language, each in languages.items()
    ]
    if rows:
        await session.execute(insert(tables.text), rows)


async def load_webhooks(session: Session) -> list[dict[str, Any]]:
    """All webhooks, by name."""
    return await session.rows(
        "SELECT * FROM webhook WHERE tenant = :tenant ORDER BY webhook", {"tenant": session.tenant}
    )


async def find_webhook(session: Session, name: str) -> dict[str, Any] | None:
    """The webhook, or None."""
    return await session.row(
        "SELECT * FROM webhook WHERE tenant = :tenant AND webhook = :webhook",
        {"tenant": session.tenant, "webhook": name},
    )


async def save_webhook(session: Session, wanted: Webhook, **fields: Any) -> None:
    """`fields`: columns beside what the tenant writes."""
    values = {**wanted.model_dump(), **fields}
    await session.execute(
        insert(tables.webhook)
        .values(tenant=session.tenant, **values)
        .on_conflict_do_update(index_elements=["tenant", "webhook"], set_=values)
    )


async def delete_webhook(session: Session, name: str) -> bool:
    """Deletes a webhook; returns whether there was one."""
    gone = await session.execute(
        delete(tables.webhook).where(tables.webhook.c.tenant == session.tenant, tables.webhook.c.webhook == name)
    )
    return gone.rowcount == 1


async def disable_webhook(session: Session, name: str, reason: str) -> None:
    """Switches a webhook off, with the reason."""
    await session.execute(
        "UPDATE webhook SET enabled = false, disabled_reason = :reason WHERE tenant = :tenant AND webhook = :webhook",
        {"tenant": session.tenant, "webhook": name, "reason": reason},
    )
