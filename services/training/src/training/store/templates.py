"""Heads of templates, their versions, and the rules that give them."""

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Any

from servicekit.stored import parse_all_stored
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from training.model.content import Content
from training.model.rules import Rule
from training.store.tables import content, rule, template, template_version

COLLECTION = "templates"

_HEAD = """
SELECT t.slug, t.draft, t.scheduled, t.scheduled_at, t.version, t.archived, v.document, v.published_at,
       d.hash AS draft_hash, p.hash AS published_hash, latest.kind, latest.title
FROM template t
LEFT JOIN template_version v ON v.tenant = t.tenant AND v.template = t.slug AND v.version = t.version
LEFT JOIN content d ON d.tenant = t.tenant AND d.document = t.draft
LEFT JOIN content p ON p.tenant = t.tenant AND p.document = v.document
JOIN content latest ON latest.tenant = t.tenant AND latest.document = coalesce(t.draft, v.document, t.scheduled)
WHERE t.tenant = :tenant
"""


def hash_content(body: Content) -> str:
    canonical = json.dumps(body.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


async def lock_template(session: Session, slug: str) -> None:
    """One at a time saves or publishes a template, also before it exists."""
    await session.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('template ' || cast(:tenant AS text) || ' ' || cast(:slug AS text), 0))",
        {"tenant": session.tenant, "slug": slug},
    )


async def find_head(session: Session, slug: str) -> dict[str, Any] | None:
    return await session.row(f"{_HEAD} AND t.slug = :slug", {"tenant": session.tenant, "slug": slug})


async def find_heads(session: Session, slugs: Collection[str]) -> dict[str, dict[str, Any]]:
    """Those that there are, by slug."""
    if not slugs:
        return {}
    rows = await session.rows(
        f"{_HEAD} AND t.slug = ANY(cast(:slugs AS text[]))", {"tenant": session.tenant, "slugs": list(slugs)}
    )
    return {row["slug"]: row for row in rows}


async def list_heads(session: Session, *, after: str | None, limit: int) -> list[dict[str, Any]]:
    return await session.rows(
        f"{_HEAD} AND (cast(:after AS text) IS NULL OR t.slug > :after) ORDER BY t.slug LIMIT :limit",
        {"tenant": session.tenant, "after": after, "limit": limit},
    )


async def load_published_heads(session: Session) -> list[dict[str, Any]]:
    """Those with a version and not archived, by slug: what a blueprint would hold."""
    return await session.rows(
        f"{_HEAD} AND NOT t.archived AND t.version IS NOT NULL ORDER BY t.slug", {"tenant": session.tenant}
    )


async def load_active_slugs(session: Session) -> set[str]:
    """Of templates that are not archived."""
    found = await session.execute(
        "SELECT slug FROM template WHERE tenant = :tenant AND NOT archived", {"tenant": session.tenant}
    )
    return set(found.scalars())


async def insert_content(session: Session, slug: str, document: str, body: Content) -> None:
    """Notes what a document holds. The document itself has been written before."""
    await session.execute(
        insert(content).values(
            tenant=session.tenant,
            document=document,
            template=slug,
            hash=hash_content(body),
            kind=body.kind,
            title=body.title,
            saved_at=session.now,
        )
    )


async def put_template(session: Session, slug: str, **changes: Any) -> None:
    await session.execute(
        insert(template)
        .values(tenant=session.tenant, slug=slug, **changes)
        .on_conflict_do_update(index_elements=["tenant", "slug"], set_=changes)
    )


async def delete_template(session: Session, slug: str) -> None:
    """Of one that was never published; what it was to hold is let go by whoever calls."""
    await session.run("DELETE FROM template WHERE tenant = :t AND slug = :slug", {"t": session.tenant, "slug": slug})


async def add_version(session: Session, slug: str, version: int, document: str) -> None:
    await session.execute(
        insert(template_version).values(
            tenant=session.tenant, template=slug, version=version, document=document, published_at=session.now
        )
    )


async def find_version(session: Session, slug: str, version: int) -> dict[str, Any] | None:
    """With `document`, `kind`, `title`."""
    return await session.row(
        "SELECT v.version, v.document, v.published_at, c.kind, c.title FROM template_version v "
        "JOIN content c ON c.tenant = v.tenant AND c.document = v.document "
        "WHERE v.tenant = :tenant AND v.template = :slug AND v.version = :version",
        {"tenant": session.tenant, "slug": slug, "version": version},
    )


async def list_versions(session: Session, slug: str) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT version, published_at FROM template_version WHERE tenant = :tenant AND template = :slug "
        "ORDER BY version",
        {"tenant": session.tenant, "slug": slug},
    )


async def delete_unused(session: Session, documents: Sequence[str]) -> list[str]:
    """Which of these documents nothing points to; what is noted of them is forgotten."""
    found = await session.execute(
        "SELECT d FROM unnest(cast(:documents AS text[])) AS o(d) WHERE NOT EXISTS ("
        "SELECT 1 FROM template t WHERE t.tenant = :tenant AND d IN (t.draft, t.scheduled)) AND NOT EXISTS ("
        "SELECT 1 FROM template_version v WHERE v.tenant = :tenant AND v.document = d)",
        {"tenant": session.tenant, "documents": list(documents)},
    )
    unused = list(found.scalars())
    await session.execute(content.delete().where(content.c.tenant == session.tenant, content.c.document.in_(unused)))
    return unused


async def list_rules(session: Session) -> list[Rule]:
    rows = await session.rows("SELECT body FROM rule WHERE tenant = :tenant ORDER BY slug", {"tenant": session.tenant})
    return parse_all_stored("a training rule", Rule.model_validate, [row["body"] for row in rows])


async def replace_rules(session: Session, rules: list[Rule]) -> None:
    await session.execute(rule.delete().where(rule.c.tenant == session.tenant))
    for each in rules:
        await put_rule(session, each)


async def delete_rule(session: Session, slug: str) -> None:
    await session.run("DELETE FROM rule WHERE tenant = :t AND slug = :slug", {"t": session.tenant, "slug": slug})


async def put_rule(session: Session, body: Rule) -> None:
    values = {"body": body.model_dump(mode="json")}
    await session.execute(
        insert(rule)
        .values(tenant=session.tenant, slug=body.rule, **values)
        .on_conflict_do_update(index_elements=["tenant", "slug"], set_=values)
    )
