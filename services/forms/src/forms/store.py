"""Tables and queries of forms. Definitions and answers are in the document store, in documents that never change."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

from servicekit.visibility import VisibilityFilter
from sqlalchemy import Boolean, Column, Date, DateTime, Index, Integer, Table, Text, Uuid, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from storage import Document, DocumentStore, Session, create_metadata

from forms.model import limits
from forms.model.records import Draft, FormRecord, FormVersion, ListedSubmission, Submission, SubmissionChange

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
    Column("draft_document", Uuid(), nullable=False),
    Column("draft_hash", Text, nullable=False),
    Column("version", Integer, nullable=True),
    Column("published_hash", Text, nullable=True),
    Column("retired", Boolean, nullable=False, server_default="false"),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("updated_by", Uuid(), nullable=True),
)

form_version = Table(
    "form_version",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("form", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", Uuid(), nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False),
    Column("published_by", Uuid(), nullable=True),
)

submission = Table(
    "submission",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("form", Text, nullable=False),
    Column("form_version", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", Uuid(), nullable=False),
    Column("agent_id", Uuid(), nullable=True),
    Column("interaction_id", Uuid(), nullable=True),
    Column("leg", Integer, nullable=True),
    Column("submitted_by", Uuid(), nullable=False),
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
    Column("submission_id", Uuid(), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", Uuid(), nullable=False),
    Column("void", Boolean, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("by", Uuid(), nullable=False),
    Index("ix_submission_version_document", "tenant", "document"),
)


_FORM_COLUMNS = ", ".join(each.name for each in fields(FormRecord))
_VERSION_COLUMNS = ", ".join(each.name for each in fields(FormVersion))
_SUBMISSION_COLUMNS = [submission.c[each.name] for each in fields(Submission)]


async def find_form(session: Session, slug: str) -> FormRecord | None:
    """The form, or None."""
    row = await session.row(
        f"SELECT {_FORM_COLUMNS} FROM form WHERE tenant = :tenant AND form = :form",  # noqa: S608
        {"tenant": session.tenant, "form": slug},
    )
    return None if row is None else FormRecord(**row)


async def lock_form(session: Session, slug: str) -> FormRecord | None:
    """The form, or None; its name is locked until the transaction ends, whether or not the form exists."""
    await session.lock_key(f"form {session.tenant} {slug}")
    return await find_form(session, slug)


async def list_forms(session: Session, *, drafts: bool, after: str | None, limit: int) -> list[FormRecord]:
    """Forms by name. `drafts`: also those never published and the retired ones. `after`: the last name of the page
    before."""
    rows = await session.rows(
        f"SELECT {_FORM_COLUMNS} FROM form WHERE tenant = :tenant AND form > :after "  # noqa: S608
        "AND (:drafts OR (version IS NOT NULL AND NOT retired)) ORDER BY form LIMIT :limit",
        {"tenant": session.tenant, "after": after or "", "drafts": drafts, "limit": limit},
    )
    return [FormRecord(**row) for row in rows]


async def list_published_documents(session: Session) -> list[UUID]:
    """The document of the newest version of each published form, by the form's name; retired forms are left out."""
    return await session.scalars(
        "SELECT v.document FROM form f JOIN form_version v USING (tenant, form, version) "
        "WHERE f.tenant = :tenant AND NOT f.retired ORDER BY v.form",
        {"tenant": session.tenant},
    )


async def upsert_draft(session: Session, draft: Draft) -> None:
    """Inserts a form with this draft, or replaces the form's draft."""
    values = draft._asdict()
    statement = insert(form).values(tenant=session.tenant, **values)
    changed = {name: statement.excluded[name] for name in values if name != "form"}
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant", "form"], set_=changed))


async def retire_form(session: Session, slug: str, *, retired: bool) -> None:
    """Marks a form as retired, or as not retired."""
    key = {"tenant": session.tenant, "form": slug, "retired": retired}
    await session.run("UPDATE form SET retired = :retired WHERE tenant = :tenant AND form = :form", key)


async def delete_form(session: Session, slug: str) -> None:
    """Deletes a form that was never published. The caller discards the draft's document."""
    key = {"tenant": session.tenant, "form": slug}
    await session.run("DELETE FROM form WHERE tenant = :tenant AND form = :form", key)


async def add_version(session: Session, added: FormVersion, content_hash: str) -> None:
    """Inserts a version and makes it the form's newest."""
    await session.execute(insert(form_version).values(tenant=session.tenant, **vars(added)))
    await session.execute(
        update(form)
        .where(form.c.tenant == session.tenant, form.c.form == added.form)
        .values(version=added.version, published_hash=content_hash)
    )


async def find_version(session: Session, slug: str, version: int) -> FormVersion | None:
    """A published version, or None."""
    row = await session.row(
        f"SELECT {_VERSION_COLUMNS} FROM form_version "  # noqa: S608
        "WHERE tenant = :tenant AND form = :form AND version = :version",
        {"tenant": session.tenant, "form": slug, "version": version},
    )
    return None if row is None else FormVersion(**row)


async def list_versions(session: Session, slug: str, *, before: int | None, limit: int) -> list[FormVersion]:
    """Published versions, newest first; only those below `before`."""
    rows = await session.rows(
        f"SELECT {_VERSION_COLUMNS} FROM form_version WHERE tenant = :tenant AND form = :form "  # noqa: S608
        "AND (cast(:before AS int) IS NULL OR version < :before) ORDER BY version DESC LIMIT :limit",
        {"tenant": session.tenant, "form": slug, "before": before, "limit": limit},
    )
    return [FormVersion(**row) for row in rows]


async def find_submission(session: Session, slug: str, id: UUID, *, lock: bool = False) -> Submission | None:
    """The submission, or None. `lock`: its row is locked until the transaction ends."""
    statement = select(*_SUBMISSION_COLUMNS).where(
        submission.c.tenant == session.tenant, submission.c.form == slug, submission.c.id == id
    )
    row = await session.row(statement.with_for_update() if lock else statement)
    return None if row is None else Submission(**row)


async def upsert_submission(session: Session, saved: Submission, *, by: UUID) -> None:
    """Inserts or replaces a submission, and adds its version to the history."""
    values = {each.name: getattr(saved, each.name) for each in fields(Submission)}
    statement = insert(submission).values(tenant=session.tenant, **values)
    changed = {name: statement.excluded[name] for name in values if name != "id"}
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant", "id"], set_=changed))
    await session.execute(
        insert(submission_version).values(
            tenant=session.tenant,
            submission_id=saved.id,
            version=saved.version,
            document=saved.document,
            void=saved.void,
            at=saved.changed_at,
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
) -> list[ListedSubmission]:
    """Submissions that are not void, newest first: the caller's own, and those about people whom the caller may see on
    the submission's workday. `before`: the last id of the page before."""
    columns = ", ".join(f"s.{each.name}" for each in fields(Submission))
    rows = await session.rows(
        f"SELECT {columns}, p.slug AS agent, p.body->>'display_name' AS name FROM submission s "  # noqa: S608
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
    return [ListedSubmission(**row) for row in rows]


async def load_submission_history(session: Session, id: UUID) -> list[SubmissionChange]:
    """All versions of a submission, oldest first."""
    rows = await session.tuples(
        'SELECT version, void, at, "by" FROM submission_version WHERE tenant = :tenant AND submission_id = :id '
        "ORDER BY version",
        {"tenant": session.tenant, "id": id},
    )
    return [SubmissionChange(*row) for row in rows]


# Documents hold their content as bytes: keys of JSON Schema begin with `$`, which document keys may not.


async def put_content(documents: DocumentStore, tenant: str, collection: str, id: UUID, content: Any) -> None:
    """Stores a JSON value as a new document."""
    await documents.put(tenant, collection, [Document(str(id), {}, limits.encode_canonical_json(content))])


async def load_contents(
    documents: DocumentStore, tenant: str, collection: str, ids: Iterable[UUID]
) -> dict[UUID, bytes]:
    """JSON texts of documents by id; a missing document is absent."""
    found = await documents.get(tenant, collection, [str(each) for each in ids])
    return {UUID(id): document.blob or b"null" for id, document in found.items()}


async def find_unused_documents(session: Session, ids: Sequence[str], *, collection: str) -> set[str]:
    """Ids of those documents that no row refers to."""
    statement = {
        DEFINITIONS: "SELECT draft_document FROM form WHERE tenant = :tenant AND draft_document = ANY(cast(:ids AS uuid[])) "
        "UNION SELECT document FROM form_version WHERE tenant = :tenant AND document = ANY(cast(:ids AS uuid[]))",
        SUBMISSIONS: "SELECT document FROM submission_version WHERE tenant = :tenant "
        "AND document = ANY(cast(:ids AS uuid[]))",
    }[collection]
    used = (await session.execute(statement, {"tenant": session.tenant, "ids": list(ids)})).scalars()
    return set(ids) - {str(each) for each in used}
