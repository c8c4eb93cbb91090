"""Queries of templates, their versions, and rules."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from servicekit.stored import parse_all_stored
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from training.model.content import Content, Kind
from training.model.rules import Rule
from training.store.tables import content, rule, template, template_version

COLLECTION = "templates"


@dataclass(frozen=True, kw_only=True)
class TemplateRow:
    """A template. `draft`, `scheduled` and `document` (of the newest version) are ids of documents, each None where there
    is none; the hashes are of the contents of `draft` and `document`. Kind and title are those of the draft, else of the
    newest version."""

    slug: str
    draft: str | None
    scheduled: str | None
    scheduled_at: datetime | None
    version: int | None
    archived: bool
    document: str | None
    published_at: datetime | None
    draft_hash: str | None
    published_hash: str | None
    kind: Kind
    title: dict[str, str]

    @property
    def shown_document(self) -> str:
        """The document that readers of the template see: the draft, else the newest version, else the scheduled one."""
        document = self.draft or self.document or self.scheduled
        assert document is not None, "a template has at least one document"
        return document


class VersionRow(NamedTuple):
    """A published version. `document` is the id of its content."""

    version: int
    document: str
    published_at: datetime


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
    """SHA-256, in hex, of the content as JSON with sorted keys: equal for equal contents."""
    canonical = json.dumps(body.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


async def lock_template(session: Session, slug: str) -> None:
    """Locks a template, which need not exist yet, until the end of the transaction."""
    await session.lock_key(f"template {session.tenant} {slug}")


async def find_head(session: Session, slug: str) -> TemplateRow | None:
    """The template of this name, or None."""
    row = await session.row(f"{_HEAD} AND t.slug = :slug", {"tenant": session.tenant, "slug": slug})
    return None if row is None else TemplateRow(**row)


async def find_heads(session: Session, slugs: Collection[str]) -> dict[str, TemplateRow]:
    """The existing ones of these templates, by slug."""
    if not slugs:
        return {}
    rows = await session.rows(
        f"{_HEAD} AND t.slug = ANY(cast(:slugs AS text[]))", {"tenant": session.tenant, "slugs": list(slugs)}
    )
    return {row["slug"]: TemplateRow(**row) for row in rows}


async def list_heads(session: Session, *, after: str | None, limit: int) -> list[TemplateRow]:
    """A page of all templates by slug, from the one that follows `after`."""
    rows = await session.rows(
        f"{_HEAD} AND (cast(:after AS text) IS NULL OR t.slug > :after) ORDER BY t.slug LIMIT :limit",
        {"tenant": session.tenant, "after": after, "limit": limit},
    )
    return [TemplateRow(**row) for row in rows]


async def load_published_documents(session: Session) -> list[tuple[str, str]]:
    """(slug, document) of the newest versions of templates that are not archived, by slug: a blueprint's templates."""
    rows = await session.tuples(
        "SELECT t.slug, v.document FROM template t "
        "JOIN template_version v ON v.tenant = t.tenant AND v.template = t.slug AND v.version = t.version "
        "WHERE t.tenant = :tenant AND NOT t.archived ORDER BY t.slug",
        {"tenant": session.tenant},
    )
    return [(slug, document) for slug, document in rows]


async def load_active_slugs(session: Session) -> set[str]:
    """The names of templates that are not archived."""
    found = await session.execute(
        "SELECT slug FROM template WHERE tenant = :tenant AND NOT archived", {"tenant": session.tenant}
    )
    return set(found.scalars())


async def insert_content(session: Session, slug: str, document: str, body: Content) -> None:
    """Inserts hash, kind and title of a document that has been written already."""
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


async def upsert_template(session: Session, slug: str, **changes: Any) -> None:
    """Inserts the template, or sets these columns of an existing one."""
    await session.execute(
        insert(template)
        .values(tenant=session.tenant, slug=slug, **changes)
        .on_conflict_do_update(index_elements=["tenant", "slug"], set_=changes)
    )


async def delete_template(session: Session, slug: str) -> None:
    """Deletes a template that was never published. The caller discards its documents."""
    await session.run("DELETE FROM template WHERE tenant = :t AND slug = :slug", {"t": session.tenant, "slug": slug})


async def insert_version(session: Session, slug: str, version: int, document: str) -> None:
    """Inserts a version, published now."""
    await session.execute(
        insert(template_version).values(
            tenant=session.tenant, template=slug, version=version, document=document, published_at=session.now
        )
    )


async def find_version(session: Session, slug: str, version: int) -> VersionRow | None:
    """The version of this number, or None."""
    rows = await session.tuples(
        f"{_VERSIONS} AND version = :version", {"tenant": session.tenant, "slug": slug, "version": version}
    )
    return VersionRow(*rows[0]) if rows else None


async def list_versions(session: Session, slug: str) -> list[VersionRow]:
    """All versions of a template, oldest first."""
    rows = await session.tuples(f"{_VERSIONS} ORDER BY version", {"tenant": session.tenant, "slug": slug})
    return [VersionRow(*row) for row in rows]


_VERSIONS = "SELECT version, document, published_at FROM template_version WHERE tenant = :tenant AND template = :slug"


async def delete_unused(session: Session, documents: Sequence[str]) -> list[str]:
    """Deletes the rows of those documents that no template and no version points to, and returns their ids."""
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
    """All rules by name. A stored rule that this program cannot read is logged and left out."""
    rows = await session.rows("SELECT body FROM rule WHERE tenant = :tenant ORDER BY slug", {"tenant": session.tenant})
    return parse_all_stored("a training rule", Rule.model_validate, [row["body"] for row in rows])


async def replace_rules(session: Session, rules: list[Rule]) -> None:
    """Deletes all rules and inserts these."""
    await session.execute(rule.delete().where(rule.c.tenant == session.tenant))
    for each in rules:
        await upsert_rule(session, each)


async def delete_rule(session: Session, slug: str) -> None:
    """Deletes the rule of this name, if there is one."""
    await session.run("DELETE FROM rule WHERE tenant = :t AND slug = :slug", {"t": session.tenant, "slug": slug})


async def upsert_rule(session: Session, body: Rule) -> None:
    """Inserts the rule, or replaces the one of its name."""
    values = {"body": body.model_dump(mode="json")}
    await session.execute(
        insert(rule)
        .values(tenant=session.tenant, slug=body.rule, **values)
        .on_conflict_do_update(index_elements=["tenant", "slug"], set_=values)
    )
