"""Forms and their versions."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Body
from pydantic import BaseModel
from servicekit import (
    DEFINITION_BYTES,
    Caller,
    CallerDep,
    DocumentsDep,
    Page,
    PageDep,
    WorkSession,
    page_of,
    route_policy,
)
from servicekit import router as door_router
from servicekit.errors import FieldProblem, Invalid

from forms import store
from forms.actions import definitions
from forms.model import FormDefinition
from forms.model.definition import About, Kind
from forms.model.records import FormRecord

EDITORS = ("quality_analyst", "tenant_admin")

router = door_router(tags=["forms"])


class FormSummary(BaseModel):
    """`version` is the newest published one; `changed`: the draft differs from it."""

    form: str
    title: dict[str, str]
    kind: Kind
    about: About
    status: Literal["draft", "published", "retired"]
    version: int | None
    changed: bool
    updated_at: datetime


class FormView(FormSummary):
    """`definition` is the draft to those who may edit it, the newest published version to everybody else."""

    definition: dict[str, Any]


class VersionSummary(BaseModel):
    """A published version of a form."""

    form: str
    version: int
    published_at: datetime
    published_by: UUID | None


class VersionView(VersionSummary):
    """A published version of a form with its definition."""

    definition: dict[str, Any]


def _render_summary(head: FormRecord) -> FormSummary:
    return FormSummary.model_validate(head, from_attributes=True)


def _visible_definition(caller: Caller, form: FormDefinition) -> dict[str, Any]:
    content = form.content()
    if form.kind == "quiz" and not caller.has_role(*EDITORS, "trainer"):
        content.pop("scoring", None)  # it contains the correct answers
    return content


@router.get("/forms")
@route_policy(reach="tenant")
async def list_forms(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[FormSummary]:
    """Forms by name; drafts never published, and what is retired, are listed to quality_analyst and tenant_admin only."""
    after = page.value(str)
    rows = await store.list_forms(session, drafts=caller.has_role(*EDITORS), after=after, limit=page.limit + 1)
    return page_of([_render_summary(row) for row in rows], page, cursor=lambda each: [each.form])


@router.get("/forms/{form}")
@route_policy(reach="tenant")
async def get_form(form: str, session: WorkSession, caller: CallerDep, documents: DocumentsDep) -> FormView:
    """A form with its draft, for those who may edit it, or its newest version."""
    head = await store.find_form(session, form)
    if head is None or not (head.version or caller.has_role(*EDITORS)):
        raise definitions.unknown_form_error(form)
    if caller.has_role(*EDITORS):
        definition = await definitions.load_definition(session, documents, head.draft_document)
    else:
        _, definition = await definitions.load_version(session, documents, form)
    return FormView(**_render_summary(head).model_dump(), definition=_visible_definition(caller, definition))


@router.put("/forms/{form}")
@route_policy(DEFINITION_BYTES, roles=EDITORS)
async def put_form(
    form: str,
    body: Annotated[FormDefinition, Body()],
    session: WorkSession,
    caller: CallerDep,
    documents: DocumentsDep,
) -> FormView:
    """Keeps the draft. It must be a form that could be published. Needs quality_analyst or tenant_admin."""
    if body.form != form:
        problem = FieldProblem(pointer="/form", problem=f"the address says `{form}`", cure=form)
        raise Invalid("form-named-otherwise", "The form's name differs from the address.", errors=[problem])
    before = await store.find_form(session, form)
    await definitions.save_draft(session, documents, body, by=caller.person_id)
    if before is not None and before.retired:
        await definitions.publish_section_applied(session, documents, version=None)
    return await get_form(form, session, caller, documents)


@router.delete("/forms/{form}", status_code=204)
@route_policy(roles=EDITORS)
async def retire_form(form: str, session: WorkSession, caller: CallerDep, documents: DocumentsDep) -> None:
    """Nobody fills it in any more, and it is no part of a blueprint. It can still be read, as can what was submitted; PUT
    or publishing brings it back. One that was never published is deleted. Needs quality_analyst or tenant_admin."""
    await definitions.retire(session, documents, form)


@router.post("/forms/{form}/publish")
@route_policy(roles=EDITORS, resource_path="/forms/{form}")
async def publish_form(form: str, session: WorkSession, caller: CallerDep, documents: DocumentsDep) -> VersionView:
    """Makes the draft the newest version, which never changes again. The same content again makes no new version."""
    before = await store.find_form(session, form)
    published = await definitions.publish(session, documents, form, by=caller.person_id)
    if before is None or before.retired or before.version != published.version:
        await definitions.publish_section_applied(session, documents, version=None)
    definition = await definitions.load_definition(session, documents, published.document)
    return VersionView.model_validate({**vars(published), "definition": definition.content()})


@router.get("/forms/{form}/versions")
@route_policy(reach="tenant")
async def list_form_versions(form: str, session: WorkSession, caller: CallerDep, page: PageDep) -> Page[VersionSummary]:
    """Published versions, newest first."""
    if await store.find_form(session, form) is None:
        raise definitions.unknown_form_error(form)
    before = page.value(int)
    rows = await store.list_versions(session, form, before=before, limit=page.limit + 1)
    return page_of(
        [VersionSummary.model_validate(row, from_attributes=True) for row in rows],
        page,
        cursor=lambda each: [each.version],
    )


@router.get("/forms/{form}/versions/{version}")
@route_policy(reach="tenant")
async def get_form_version(
    form: str, version: int, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> VersionView:
    """A published version; it never changes."""
    _, definition = await definitions.load_version(session, documents, form, version)
    found = await store.find_version(session, form, version)
    assert found is not None
    return VersionView.model_validate({**vars(found), "definition": _visible_definition(caller, definition)})
