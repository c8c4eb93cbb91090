"""Writing forms: a draft that changes, published versions that never do."""

from typing import Any
from uuid import UUID

from contracts import new_id
from contracts.submissions import FormPublished
from servicekit.audit import record_change
from servicekit.blueprints import publish_section
from servicekit.errors import Conflict, FieldProblem, Invalid, NotFound
from servicekit.stored import parse_all_stored, require_stored
from servicekit.workers import run_in_worker
from storage import DocumentStore, Session, schedule_discard

from forms import store
from forms.model import FormDefinition, FormsSection, check_kind_unchanged, content_hash


async def save_draft(session: Session, documents: DocumentStore, form: FormDefinition, *, by: UUID | None) -> None:
    """Keeps the form as the draft of its name. Raises Invalid with every problem there is."""
    if problems := await run_in_worker(form.problems):
        raise Invalid("invalid-form", f"The form `{form.form}` cannot be used as it is.", errors=problems)
    content = form.content()
    digest = content_hash(content)
    head = await store.lock_form(session, form.form)
    if head is not None and head["retired"]:
        await store.retire_form(session, form.form, retired=False)
        record_change(session, "form", form.form, action="restored", after=content)
    if head is not None and head["draft_hash"] == digest:
        return
    published = (head["kind"], head["about"]) if head is not None and head["version"] else None
    if published and (problem := check_kind_unchanged(form, published)):
        raise Conflict("form-is-another-kind", problem.problem, errors=[problem])
    old = head and await _before(session, documents, head["draft_document"])
    record_change(session, "form", form.form, before=old, after=content)
    document = new_id()
    await store.put_content(documents, session.tenant, store.DEFINITIONS, document, content)
    values = {
        "form": form.form,
        "title": form.title,
        "kind": form.kind,
        "about": form.about,
        "draft_document": document,
        "draft_hash": digest,
        "updated_at": session.now,
        "updated_by": by,
    }
    await store.save_form(session, values)
    if head is not None:
        await schedule_discard(session, store.DEFINITIONS, str(head["draft_document"]))


async def publish(session: Session, documents: DocumentStore, slug: str, *, by: UUID | None) -> dict[str, Any]:
    """Makes the draft the form's newest version; the same content again makes none. Returns the newest version's row."""
    head = await store.lock_form(session, slug)
    if head is None:
        raise unknown_form_error(slug)
    if head["retired"]:
        await store.retire_form(session, slug, retired=False)
        after = (await load_definition(session, documents, head["draft_document"])).content()
        record_change(session, "form", slug, action="restored", after=after)
    if head["draft_hash"] != head["published_hash"]:
        version = (head["version"] or 0) + 1
        values = {
            "version": version,
            "document": head["draft_document"],
            "published_at": session.now,
            "published_by": by,
        }
        await store.add_version(session, slug, values, head["draft_hash"])
        old = await store.find_version(session, slug, head["version"]) if head["version"] else None
        before, after = (
            old and await _audit_state(session, documents, old),
            await _audit_state(session, documents, values),
        )
        record_change(session, "form", slug, action="published", before=before, after=after)
        session.emit(FormPublished(form=slug, version=version, title=head["title"]))
    row = await store.find_version(session, slug, (await _require_head(session, slug))["version"])
    assert row is not None
    return row


async def _audit_state(session: Session, documents: DocumentStore, version: dict[str, Any]) -> dict[str, Any]:
    return {"version": version["version"], **(await _before(session, documents, version["document"]) or {})}


async def _before(session: Session, documents: DocumentStore, document: UUID) -> dict[str, Any] | None:
    """For the audit log. None: it cannot be read any more, which must not keep anybody from saving it anew."""
    try:
        return (await load_definition(session, documents, document)).content()
    except Conflict:
        return None


async def retire(session: Session, documents: DocumentStore, slug: str) -> None:
    """Nobody fills it in any more; its versions and submissions stay. One that was never published is deleted."""
    head = await store.lock_form(session, slug)
    if head is None:
        raise unknown_form_error(slug)
    old = await _before(session, documents, head["draft_document"])
    if head["version"] is None:
        record_change(session, "form", slug, before=old)
        await store.delete_form(session, slug)
        await schedule_discard(session, store.DEFINITIONS, str(head["draft_document"]))
    elif not head["retired"]:
        record_change(session, "form", slug, action="retired", before=old)
        await store.retire_form(session, slug, retired=True)
        await publish_section_applied(session, documents, version=None)


async def apply_section(session: Session, documents: DocumentStore, section: FormsSection) -> list[FieldProblem]:
    """Publishes each form of the section, or none of them: returns what stands in the way."""
    published: dict[str, tuple[str, str]] = {}
    for form in section.forms:
        head = await store.lock_form(session, form.form)
        if head is not None and head["version"]:
            published[form.form] = (head["kind"], head["about"])
    problems = section.find_conflicts(published)
    if not problems:
        for form in section.forms:
            await save_draft(session, documents, form, by=None)
            await publish(session, documents, form.form, by=None)
    return problems


async def publish_section_applied(session: Session, documents: DocumentStore, *, version: int | None) -> None:
    """Tells what the tenant's section now is."""
    content = await export_section(session, documents)
    await publish_section(session, "forms", version, content)


async def export_section(session: Session, documents: DocumentStore) -> dict[str, Any]:
    """Every published form, in the form in which a blueprint holds it."""
    heads = await store.load_published_heads(session)
    contents = await store.load_contents(
        documents, session.tenant, store.DEFINITIONS, [each["document"] for each in heads]
    )
    found = [contents[each["document"]] for each in heads]
    return {
        "forms": [
            form.content() for form in parse_all_stored("a published form", FormDefinition.model_validate_json, found)
        ]
    }


async def load_definition(session: Session, documents: DocumentStore, document: UUID) -> FormDefinition:
    found = await store.load_contents(documents, session.tenant, store.DEFINITIONS, [document])
    if document not in found:
        raise NotFound(
            "definition-missing", f"The document {document} of this form is missing from the document store."
        )
    return require_stored(f"the form definition {document}", FormDefinition.model_validate_json, found[document])


async def load_version(
    session: Session, documents: DocumentStore, slug: str, version: int | None = None
) -> tuple[int, FormDefinition]:
    """A published version; None: the newest. Raises NotFound, or Conflict when the form was never published."""
    head = await _require_head(session, slug)
    if head["version"] is None:
        raise Conflict("form-not-published", f"The form `{slug}` has not been published yet.")
    row = await store.find_version(session, slug, version or head["version"])
    if row is None:
        raise NotFound("unknown-version", f"The form `{slug}` has versions 1 to {head['version']}, but no {version}.")
    return row["version"], await load_definition(session, documents, row["document"])


async def _require_head(session: Session, slug: str) -> dict[str, Any]:
    head = await store.find_form(session, slug)
    if head is None:
        raise unknown_form_error(slug)
    return head


def unknown_form_error(slug: str) -> NotFound:
    return NotFound("unknown-form", f"There is no form `{slug}`.")
