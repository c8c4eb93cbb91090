"""Saves, publishes and retires templates, and exports the blueprint section."""

from datetime import datetime
from typing import Any

from contracts import new_id
from servicekit import lock_edits
from servicekit.audit import origin_of, record_change
from servicekit.blueprints import publish_section
from servicekit.errors import Conflict, NotFound
from servicekit.stored import parse_stored, require_stored
from storage import Document, DocumentStore, Session, schedule_discard

from training.model.content import Content
from training.model.section import find_references
from training.store import templates as store
from training.store.templates import TemplateRow, VersionRow


async def save_draft(session: Session, documents: DocumentStore, slug: str, content: Content) -> None:
    """Saves a draft; an unchanged one is not written again. A draft of an archived template restores the template."""
    await store.lock_template(session, slug)
    head = await store.find_head(session, slug)
    if head and (head.draft_hash or head.published_hash) == store.hash_content(content):
        if head.archived:
            await store.upsert_template(session, slug, archived=False)
            record_change(session, "template", slug, action="restored", after=_audit_fields(content))
        return
    before = None
    if head:
        before = await _load_audit_fields(documents, session.tenant, head.shown_document)
    record_change(session, "template", slug, before=before, after=_audit_fields(content))
    document = await _write_content(session, documents, slug, content)
    await store.upsert_template(session, slug, draft=document, archived=False)
    await _discard_document(session, head.draft if head else None)


async def publish(session: Session, documents: DocumentStore, slug: str, at: datetime | None) -> None:
    """Publishes the draft as the next version, now or at an instant. It replaces a publication scheduled before.

    Raises NotFound, and Conflict when there is no draft.
    """
    await store.lock_template(session, slug)
    head = await require_head(session, slug)
    if head.draft is None:
        raise Conflict("no-draft", f"Template `{slug}` has no draft to publish.")
    if at is not None and at > session.now:
        await store.upsert_template(session, slug, scheduled=head.draft, scheduled_at=at)
        after = {"scheduled_at": at, **_audit_fields(await load_content(documents, session.tenant, head.draft))}
        record_change(session, "template", slug, action="scheduled", before=_scheduled_audit_fields(head), after=after)
        await _discard_document(session, head.scheduled)
        await session.schedule("publish", slug, at, {"origin": origin_of(session).model_dump(mode="json")})
        return
    await _make_version(session, documents, head, head.draft)
    await publish_section_applied(session, documents, version=None)


async def publish_scheduled(session: Session, documents: DocumentStore, slug: str) -> None:
    """Publishes the scheduled document. Does nothing when it was unscheduled or scheduled for later meanwhile."""
    await lock_edits(session)
    await store.lock_template(session, slug)
    head = await store.find_head(session, slug)
    if head is None or head.scheduled is None or head.scheduled_at is None or head.scheduled_at > session.now:
        return
    await _make_version(session, documents, head, head.scheduled)
    await publish_section_applied(session, documents, version=None)


async def unschedule(session: Session, slug: str) -> None:
    """Cancels a scheduled publication, if there is one. Raises NotFound."""
    await store.lock_template(session, slug)
    head = await require_head(session, slug)
    await store.upsert_template(session, slug, scheduled=None, scheduled_at=None)
    if head.scheduled:
        record_change(session, "template", slug, action="unscheduled", before=_scheduled_audit_fields(head))
    await _discard_document(session, head.scheduled)


async def retire(session: Session, documents: DocumentStore, slug: str) -> None:
    """Archives a template: nobody is assigned it any more, its versions stay, and open assignments can be finished. A
    template that was never published is deleted. Saving a draft later restores an archived one.

    Raises NotFound, and Conflict while rules assign it.
    """
    await store.lock_template(session, slug)
    head = await require_head(session, slug)
    users = [rule.rule for rule in await store.list_rules(session) if rule.template == slug]
    if users:
        named = ", ".join(f"`{each}`" for each in users[:5])
        raise Conflict("template-in-use", f"Rules give `{slug}`: {named}. Change or delete them first.")
    if head.version is None:
        draft = await load_content(documents, session.tenant, head.shown_document)
        record_change(session, "template", slug, before=_audit_fields(draft))
        await store.delete_template(session, slug)
        await _discard_document(session, head.draft)
    elif not head.archived:
        await store.upsert_template(session, slug, scheduled=None, scheduled_at=None)
        await archive(session, documents, slug)
    if head.scheduled != head.draft:
        await _discard_document(session, head.scheduled)
    await publish_section_applied(session, documents, version=None)


async def publish_content(session: Session, documents: DocumentStore, slug: str, content: Content) -> None:
    """Saves and publishes in one step, as a blueprint does. Unchanged content makes no new version."""
    await save_draft(session, documents, slug, content)
    head = await require_head(session, slug)
    if head.draft is not None:
        await _make_version(session, documents, head, head.draft)


async def archive(session: Session, documents: DocumentStore, slug: str) -> None:
    """Archives a template that no rule assigns. Raises NotFound."""
    before = await _published_audit_fields(session, documents, await require_head(session, slug))
    await store.upsert_template(session, slug, archived=True)
    record_change(session, "template", slug, action="retired", before=before)


async def require_head(session: Session, slug: str) -> TemplateRow:
    """The template of this name. Raises NotFound."""
    head = await store.find_head(session, slug)
    if head is None:
        raise NotFound("unknown-template", f"There is no template `{slug}`.")
    return head


async def require_version(session: Session, slug: str, version: int) -> VersionRow:
    """The version of this number. Raises NotFound."""
    found = await store.find_version(session, slug, version)
    if found is None:
        raise NotFound("unknown-version", f"Template `{slug}` has no version {version}.")
    return found


async def load_content(documents: DocumentStore, tenant: str, document: str) -> Content:
    """The content of a document. Raises Conflict when an older release wrote it in a form this one cannot read."""
    found = await documents.get(tenant, store.COLLECTION, [document])
    return require_stored(f"the training content {document}", Content.model_validate, found[document].body)


async def _load_audit_fields(documents: DocumentStore, tenant: str, document: str) -> dict[str, Any]:
    """The stored content for the audit log; as it stands when this release cannot read it, so that it can be replaced."""
    body = (await documents.get(tenant, store.COLLECTION, [document]))[document].body
    content = parse_stored(f"the training content {document}", Content.model_validate, body)
    return dict(body) if content is None else _audit_fields(content)


async def publish_section_applied(session: Session, documents: DocumentStore, *, version: int | None) -> None:
    """Publishes the tenant's current section `training`. `version`: of the blueprint; None after an edit."""
    content = await export_section(session, documents)
    await publish_section(session, "training", version, content, find_references(await store.list_rules(session)))


async def export_section(session: Session, documents: DocumentStore) -> dict[str, Any]:
    """Published templates and all rules in the form of a blueprint section."""
    published = await store.load_published_documents(session)
    found = await documents.get(session.tenant, store.COLLECTION, [document for _, document in published])
    rules = await store.list_rules(session)
    return {
        "templates": [{"template": slug, **found[document].body} for slug, document in published],
        "rules": [rule.model_dump(mode="json") for rule in rules],
    }


async def _published_audit_fields(
    session: Session, documents: DocumentStore, head: TemplateRow
) -> dict[str, Any] | None:
    if head.document is None:
        return None
    return {"version": head.version, **await _load_audit_fields(documents, session.tenant, head.document)}


def _scheduled_audit_fields(head: TemplateRow) -> dict[str, Any] | None:
    return {"scheduled_at": head.scheduled_at} if head.scheduled else None


def _audit_fields(content: Content) -> dict[str, Any]:
    return content.model_dump(mode="json", exclude_none=True)


async def _discard_document(session: Session, document: str | None) -> None:
    """Deletes a document later, unless the draft, the schedule or a version still points to it by then."""
    if document is not None:
        await schedule_discard(session, store.COLLECTION, document)


async def _write_content(session: Session, documents: DocumentStore, slug: str, content: Content) -> str:
    document = f"{slug}/{new_id()}"
    await documents.put(
        session.tenant, store.COLLECTION, [Document(document, content.model_dump(mode="json", exclude_none=True))]
    )
    await store.insert_content(session, slug, document, content)
    return document


async def _make_version(session: Session, documents: DocumentStore, head: TemplateRow, document: str) -> None:
    slug, version = head.slug, (head.version or 0) + 1
    after = {"version": version, **_audit_fields(await load_content(documents, session.tenant, document))}
    record_change(
        session,
        "template",
        slug,
        action="published",
        before=await _published_audit_fields(session, documents, head),
        after=after,
    )
    await store.insert_version(session, slug, version, document)
    draft = None if head.draft == document else head.draft
    await store.upsert_template(
        session, slug, version=version, draft=draft, scheduled=None, scheduled_at=None, archived=False
    )
    await _discard_document(session, head.scheduled)
