"""Tables: heads and status. What people wrote lies in the document store, in documents that never change."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from servicekit.visibility import VisibilityFilter
from sqlalchemy import Boolean, Column, Date, DateTime, Index, Integer, Table, Text, Uuid, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from storage import Document, DocumentStore, Session, create_metadata

from forms.model import limits

DEFINITIONS = "form-definition"
SUBMISSIONS = "form-submission"

tables = create_metadata()

form = Table(
    "form",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("form", Text, primary_key=True),
    Column("title", JSONB, nullable=False),
    Column("kind", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("draft_document", Uuid, nullable=False),
    Column("draft_hash", Text, nullable=False),
    Column("version", Integer, nullable=True),
    Column("published_hash", Text, nullable=True),
    Column("retired", Boolean, nullable=False, server_default="false"),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("updated_by", Uuid, nullable=True),
)

form_version = Table(
    "form_version",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("form", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", Uuid, nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False),
    Column("published_by", Uuid, nullable=True),
)

submission = Table(
    "submission",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("form", Text, nullable=False),
    Column("form_version", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", Uuid, nullable=False),
    Column("agent_id", Uuid, nullable=True),
    Column("interaction_id", Uuid, nullable=True),
    Column("leg", Integer, nullable=True),
    Column("submitted_by", Uuid, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Column("workday", Date, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("score", Integer, nullable=True),
    Column("automatic_fail", Boolean, nullable=False),
    Column("void", Boolean, nullable=False),
    Index("ix_submission_form", "tenant", "form", "id"),
    Index("ix_submission_agent", "tenant", "agent_id", "id"),
)

submission_version = Table(
    "submission_version",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("submission_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", Uuid, nullable=False),
    Column("void", Boolean, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("by", Uuid, nullable=False),
    Index("ix_submission_version_document", "tenant", "document"),
)


async def find_form(session: Session, slug: str) -> dict[str, Any] | None:
    return await session.row(
        "SELECT * FROM form WHERE tenant = :tenant AND form = :form", {"tenant": session.tenant, "form": slug}
    )


async def lock_form(session: Session, slug: str) -> dict[str, Any] | None:
    """Two editors of one form take turns, also when neither finds it there yet."""
    await session.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(' ', 'form', cast(:tenant AS text), cast(:form AS text)), 0))",
        {"tenant": session.tenant, "form": slug},
    )
    return await find_form(session, slug)


async def list_forms(session: Session, *, drafts: bool, after: str | None, limit: int) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT * FROM form WHERE tenant = :tenant AND form > :after AND (:drafts OR (version IS NOT NULL AND NOT retired)) "
        "ORDER BY form LIMIT :limit",
        {"tenant": session.tenant, "after": after or "", "drafts": drafts, "limit": limit},
    )


async def load_published_heads(session: Session) -> list[dict[str, Any]]:
    """Form and document of the newest version of each published form."""
    return await session.rows(
        "SELECT v.form, v.document FROM form f JOIN form_version v USING (tenant, form, version) "
        "WHERE f.tenant = :tenant AND NOT f.retired ORDER BY v.form",
        {"tenant": session.tenant},
    )


async def save_form(session: Session, values: dict[str, Any]) -> None:
    statement = insert(form).values(tenant=session.tenant, **values)
    changed = {name: statement.excluded[name] for name in values if name != "form"}
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant", "form"], set_=changed))


async def retire_form(session: Session, slug: str, *, retired: bool) -> None:
    key = {"tenant": session.tenant, "form": slug, "retired": retired}
    await session.run("UPDATE form SET retired = :retired WHERE tenant = :tenant AND form = :form", key)


async def delete_form(session: Session, slug: str) -> None:
    """Of one that was never published; its draft is let go by whoever calls."""
    key = {"tenant": session.tenant, "form": slug}
    await session.run("DELETE FROM form WHERE tenant = :tenant AND form = :form", key)


async def add_version(session: Session, slug: str, values: dict[str, Any], content_hash: str) -> None:
    """A new version, which from now on is the form's newest."""
    await session.execute(insert(form_version).values(tenant=session.tenant, form=slug, **values))
    await session.execute(
        update(form)
        .where(form.c.tenant == session.tenant, form.c.form == slug)
        .values(version=values["version"], published_hash=content_hash)
    )


async def find_version(session: Session, slug: str, version: int) -> dict[str, Any] | None:
    return await session.row(
        "SELECT * FROM form_version WHERE tenant = :tenant AND form = :form AND version = :version",
        {"tenant": session.tenant, "form": slug, "version": version},
    )


async def list_versions(session: Session, slug: str, *, before: int | None, limit: int) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT form, version, published_at, published_by FROM form_version WHERE tenant = :tenant AND form = :form "
        "AND (cast(:before AS int) IS NULL OR version < :before) ORDER BY version DESC LIMIT :limit",
        {"tenant": session.tenant, "form": slug, "before": before, "limit": limit},
    )


async def find_submission(session: Session, slug: str, id: UUID, *, lock: bool = False) -> dict[str, Any] | None:
    found = select(submission).where(
        submission.c.tenant == session.tenant, submission.c.form == slug, submission.c.id == id
    )
    return await session.row(found.with_for_update() if lock else found)


async def save_submission(session: Session, values: dict[str, Any], *, by: UUID) -> None:
    """The submission as it now is, and this version of it beside the earlier ones."""
    statement = insert(submission).values(tenant=session.tenant, **values)
    changed = {name: statement.excluded[name] for name in values if name != "id"}
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant", "id"], set_=changed))
    await session.execute(
        insert(submission_version).values(
            tenant=session.tenant,
            submission_id=values["id"],
            version=values["version"],
            document=values["document"],
            void=values["void"],
            at=values["changed_at"],
            by=by,
        )
    )


async def list_submissions(
    session: Session,
    slug: str,
    *,
    visible: VisibilityFilter,
    interaction: UUID | None,
    before: UUID | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Newest first: those that the caller submitted, and those about people whom the caller may see on the day."""
    return await session.rows(
        "SELECT s.*, p.slug AS agent, p.body->>'display_name' AS name FROM submission s "  # noqa: S608
        "LEFT JOIN directory_person p ON p.tenant = s.tenant AND p.id = s.agent_id "
        "WHERE s.tenant = :tenant AND s.form = :form AND NOT s.void "
        f"AND {visible.requested_sql('s.agent_id', 's.workday')} "
        f"AND (s.submitted_by = :viewer OR {visible.visible_sql('s.agent_id', 's.workday')}) "
        "AND (cast(:interaction AS uuid) IS NULL OR s.interaction_id = :interaction) "
        "AND (cast(:before AS uuid) IS NULL OR s.id < :before) ORDER BY s.id DESC LIMIT :limit",
        {
            "tenant": session.tenant,
            "form": slug,
            **visible.parameters,
            "interaction": interaction,
            "before": before,
            "limit": limit,
        },
    )


async def load_submission_history(session: Session, id: UUID) -> list[dict[str, Any]]:
    return await session.rows(
        'SELECT version, void, at, "by" FROM submission_version WHERE tenant = :tenant AND submission_id = :id '
        "ORDER BY version",
        {"tenant": session.tenant, "id": id},
    )


# Documents. Their content goes as bytes: JSON Schema's own keys begin with `$`, which no document's key may.


async def put_content(documents: DocumentStore, tenant: str, collection: str, id: UUID, content: Any) -> None:
    await documents.put(tenant, collection, [Document(str(id), {}, limits.encode_canonical_json(content))])


async def load_contents(
    documents: DocumentStore, tenant: str, collection: str, ids: Iterable[UUID]
) -> dict[UUID, bytes]:
    found = await documents.get(tenant, collection, [str(each) for each in ids])
    return {UUID(id): document.blob or b"null" for id, document in found.items()}


async def find_unused_documents(session: Session, ids: Sequence[str], *, collection: str) -> set[str]:
    """Those documents that no row points to."""
    statement = {
        DEFINITIONS: "SELECT draft_document FROM form WHERE tenant = :tenant AND draft_document = ANY(cast(:ids AS uuid[])) "
        "UNION SELECT document FROM form_version WHERE tenant = :tenant AND document = ANY(cast(:ids AS uuid[]))",
        SUBMISSIONS: "SELECT document FROM submission_version WHERE tenant = :tenant "
        "AND document = ANY(cast(:ids AS uuid[]))",
    }[collection]
    named = (await session.execute(statement, {"tenant": session.tenant, "ids": list(ids)})).scalars()
    return set(ids) - {str(each) for each in named}
