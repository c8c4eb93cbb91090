"""Writing forms: a draft changes, a published version never does."""

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
from forms.model.records import Draft, FormRecord, FormVersion


async def save_draft(session: Session, documents: DocumentStore, form: FormDefinition, *, by: UUID | None) -> None:
    """Stores the form as the draft of its name, and restores a retired form. Raises Invalid with every problem, and
    Conflict when a version was published with another kind."""
    if problems := await run_in_worker(form.problems):
        raise Invalid("invalid-form", f"The form `{form.form}` cannot be used as it is.", errors=problems)
    content = form.content()
    digest = content_hash(content)
    head = await store.lock_form(session, form.form)
    if head is not None and head.retired:
        await store.retire_form(session, form.form, retired=False)
        record_change(session, "form", form.form, action="restored", after=content)
    if head is not None and head.draft_hash == digest:
        return
    published = (head.kind, head.about) if head is not None and head.version else None
    if published and (problem := check_kind_unchanged(form, published)):
        raise Conflict("form-is-another-kind", problem.problem, errors=[problem])
    before = None if head is None else await _load_audit_content(session, documents, head.draft_document)
    record_change(session, "form", form.form, before=before, after=content)
    document = new_id()
    await store.put_content(documents, session.tenant, store.DEFINITIONS, document, content)
    title = {str(language): text for language, text in form.title.items()}
    await store.upsert_draft(session, Draft(form.form, title, form.kind, form.about, document, digest, session.now, by))
    if head is not None:
        await schedule_discard(session, store.DEFINITIONS, str(head.draft_document))


async def publish(session: Session, documents: DocumentStore, slug: str, *, by: UUID | None) -> FormVersion:
    """Publishes the draft as the form's newest version, unless it equals the one before. Restores a retired form.
    Returns the newest version. Raises NotFound."""
    head = await store.lock_form(session, slug)
    if head is None:
        raise unknown_form_error(slug)
    if head.retired:
        await store.retire_form(session, slug, retired=False)
        after = (await load_definition(session, documents, head.draft_document)).content()
        record_change(session, "form", slug, action="restored", after=after)
    newest = await store.find_version(session, slug, head.version) if head.version else None
    if newest is not None and not head.changed:
        return newest
    added = FormVersion(slug, (head.version or 0) + 1, head.draft_document, session.now, by)
    await store.add_version(session, added, head.draft_hash)
    before = None if newest is None else await _load_audit_state(session, documents, newest)
    after = await _load_audit_state(session, documents, added)
    record_change(session, "form", slug, action="published", before=before, after=after)
    session.emit(FormPublished(form=slug, version=added.version, title=head.title))
    return added


async def _load_audit_state(session: Session, documents: DocumentStore, version: FormVersion) -> dict[str, Any]:
    content = await _load_audit_content(session, documents, version.document)
    return {"version": version.version, **(content or {})}


async def _load_audit_content(session: Session, documents: DocumentStore, document: UUID) -> dict[str, Any] | None:
    """The content of a definition for the audit log. None: it no longer validates, which must not prevent a new save."""
    try:
        return (await load_definition(session, documents, document)).content()
    except Conflict:
        return None


async def retire(session: Session, documents: DocumentStore, slug: str) -> None:
    """Retires a form: nobody can fill it in, its versions and submissions stay. A form that was never published is
    deleted. Raises NotFound."""
    head = await store.lock_form(session, slug)
    if head is None:
        raise unknown_form_error(slug)
    before = await _load_audit_content(session, documents, head.draft_document)
    if head.version is None:
        record_change(session, "form", slug, before=before)
        await store.delete_form(session, slug)
        await schedule_discard(session, store.DEFINITIONS, str(head.draft_document))
    elif not head.retired:
        record_change(session, "form", slug, action="retired", before=before)
        await store.retire_form(session, slug, retired=True)
        await publish_section_applied(session, documents, version=None)


async def apply_section(session: Session, documents: DocumentStore, section: FormsSection) -> list[FieldProblem]:
    """Publishes every form of the section; with conflicts, returns them and publishes none."""
    published: dict[str, tuple[str, str]] = {}
    for form in section.forms:
        head = await store.lock_form(session, form.form)
        if head is not None and head.version:
            published[form.form] = (head.kind, head.about)
    problems = section.find_conflicts(published)
    if not problems:
        for form in section.forms:
            await save_draft(session, documents, form, by=None)
            await publish(session, documents, form.form, by=None)
    return problems


async def publish_section_applied(session: Session, documents: DocumentStore, *, version: int | None) -> None:
    """Publishes the tenant's current section `forms`. `version`: of the blueprint; None after an edit."""
    content = await export_section(session, documents)
    await publish_section(session, "forms", version, content)


async def export_section(session: Session, documents: DocumentStore) -> dict[str, Any]:
    """The newest version of every published form that is not retired, as a section of a blueprint."""
    ids = await store.list_published_documents(session)
    contents = await store.load_contents(documents, session.tenant, store.DEFINITIONS, ids)
    found = [contents[each] for each in ids]
    return {
        "forms": [
            form.content() for form in parse_all_stored("a published form", FormDefinition.model_validate_json, found)
        ]
    }


async def load_definition(session: Session, documents: DocumentStore, document: UUID) -> FormDefinition:
    """The definition in a document. Raises NotFound, and Conflict when it no longer validates."""
    found = await store.load_contents(documents, session.tenant, store.DEFINITIONS, [document])
    if document not in found:
        raise NotFound(
            "definition-missing", f"The document {document} of this form is missing from the document store."
        )
    return require_stored(f"the form definition {document}", FormDefinition.model_validate_json, found[document])


async def load_version(
    session: Session, documents: DocumentStore, slug: str, version: int | None = None
) -> tuple[int, FormDefinition]:
    """Number and definition of a published version; None: the newest. Raises NotFound, or Conflict when the form was
    never published."""
    head = await _require_head(session, slug)
    if head.version is None:
        raise Conflict("form-not-published", f"The form `{slug}` has not been published yet.")
    found = await store.find_version(session, slug, version or head.version)
    if found is None:
        raise NotFound("unknown-version", f"The form `{slug}` has versions 1 to {head.version}, but no {version}.")
    return found.version, await load_definition(session, documents, found.document)


async def _require_head(session: Session, slug: str) -> FormRecord:
    head = await store.find_form(session, slug)
    if head is None:
        raise unknown_form_error(slug)
    return head


def unknown_form_error(slug: str) -> NotFound:
    """The problem for a form that does not exist."""
    return NotFound("unknown-form", f"There is no form `{slug}`.")
