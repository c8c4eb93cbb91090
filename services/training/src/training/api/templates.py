"""Templates: drafts, versions, what they say, what they did."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Body
from pydantic import BaseModel
from servicekit import (
    DEFINITION_BYTES,
    Caller,
    CallerDep,
    DaysDep,
    DocumentsDep,
    Page,
    PageDep,
    WorkSession,
    page_of,
    route_policy,
    visibility,
)
from servicekit import router as door_router
from servicekit.strict_models import StrictModel
from servicekit.times import Instant
from storage import Session

from training.actions import templates as actions
from training.actions.effect import TemplateEffect, compute_template_effect
from training.model.content import Content, Kind, Slug, render_without_answers
from training.store import templates as store
from training.store.templates import TemplateRow

router = door_router(tags=["templates"])

EDITORS = ("trainer", "tenant_admin")
READERS = (*EDITORS, "team_lead", "quality_analyst", "integration")


class TemplateHead(BaseModel):
    """`status` is the first that holds of retired, scheduled, published, draft. `draft`: something is unpublished."""

    template: str
    kind: Kind
    title: dict[str, str]
    status: Literal["retired", "scheduled", "published", "draft"]
    version: int | None
    published_at: datetime | None
    draft: bool
    scheduled_at: datetime | None


class Version(BaseModel):
    """A published version of a template. `version` counts from 1."""

    version: int
    published_at: datetime


class TemplateDetail(TemplateHead):
    """`content` is the draft where there is one, else the newest version. Only those who may edit see which choices
    are correct."""

    content: dict[str, Any]
    versions: list[Version]


class VersionDetail(Version):
    """A version with its content."""

    content: dict[str, Any]


class Publication(StrictModel):
    """`at` None or past: now."""

    at: Instant | None = None


@router.get("/templates")
@route_policy(roles=READERS, whole_tenant=False)
async def list_templates(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[TemplateHead]:
    """All templates by name."""
    after = page.value(str)
    rows = await store.list_heads(session, after=after, limit=page.limit + 1)
    return page_of([_head(row) for row in rows], page, cursor=lambda head: [head.template])


@router.get("/templates/{template}")
@route_policy(roles=READERS, whole_tenant=False)
async def get_template(
    template: str, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> TemplateDetail:
    """A template with its content."""
    return await _detail(session, caller, documents, template)


@router.put("/templates/{template}")
@route_policy(DEFINITION_BYTES, roles=EDITORS)
async def put_template(
    template: Slug, content: Content, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> TemplateDetail:
    """Saves the draft. Nobody learns from it before it is published."""
    before = await store.find_head(session, template)
    await actions.save_draft(session, documents, template, content)
    if before is not None and before.archived:
        await actions.publish_section_applied(session, documents, version=None)
    return await _detail(session, caller, documents, template)


@router.delete("/templates/{template}", status_code=204)
@route_policy(roles=EDITORS)
async def retire_template(template: str, session: WorkSession, caller: CallerDep, documents: DocumentsDep) -> None:
    """Retires it: it is given to nobody any more, can still be read, and whoever has it may finish. PUT brings it back. A
    draft that was never published is deleted. Refused (409) while a rule gives it."""
    await actions.retire(session, documents, template)


@router.post("/templates/{template}/publish")
@route_policy(roles=EDITORS, resource_path="/templates/{template}")
async def publish_template(
    template: str,
    session: WorkSession,
    caller: CallerDep,
    documents: DocumentsDep,
    publication: Annotated[Publication | None, Body()] = None,
) -> TemplateDetail:
    """Makes the draft the next version, now or at a time. Who has started a version stays on it."""
    await actions.publish(session, documents, template, publication.at if publication else None)
    return await _detail(session, caller, documents, template)


@router.delete("/templates/{template}/publish")
@route_policy(roles=EDITORS, resource_path="/templates/{template}")
async def unschedule_template(
    template: str, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> TemplateDetail:
    """Takes a scheduled publication back."""
    await actions.unschedule(session, template)
    return await _detail(session, caller, documents, template)


@router.get("/templates/{template}/versions/{version}")
@route_policy(roles=READERS, whole_tenant=False)
async def get_template_version(
    template: str, version: int, session: WorkSession, caller: CallerDep, documents: DocumentsDep
) -> VersionDetail:
    """A published version; it never changes."""
    row = await actions.require_version(session, template, version)
    content = await actions.load_content(documents, session.tenant, row.document)
    return VersionDetail(version=version, published_at=row.published_at, content=_shown(caller, content))


@router.get("/templates/{template}/effect")
@route_policy(roles=READERS, reach="people")
async def get_template_effect(
    template: str,
    session: WorkSession,
    caller: CallerDep,
    days: DaysDep,
    page: PageDep,
) -> TemplateEffect:
    """Share of agents in the template's bands by ISO week, trained and not trained, and before and after, of the
    people the caller may see on the days of their stays. Without dates: the last twelve weeks."""
    visible = await visibility.load_visibility(session, caller)
    return await compute_template_effect(session, template, visible=visible, days=days, page=page)


async def _detail(session: Session, caller: Caller, documents: DocumentsDep, template: str) -> TemplateDetail:
    row = await actions.require_head(session, template)
    content = await actions.load_content(documents, session.tenant, row.shown_document)
    versions = [
        Version(version=each.version, published_at=each.published_at)
        for each in await store.list_versions(session, template)
    ]
    return TemplateDetail(**_head(row).model_dump(), content=_shown(caller, content), versions=versions)


def _shown(caller: Caller, content: Content) -> dict[str, Any]:
    return content.model_dump(mode="json") if caller.has_role(*EDITORS) else render_without_answers(content)


def _head(row: TemplateRow) -> TemplateHead:
    return TemplateHead(
        template=row.slug,
        kind=row.kind,
        title=row.title,
        status=_status(row),
        version=row.version,
        published_at=row.published_at,
        draft=row.draft is not None,
        scheduled_at=row.scheduled_at,
    )


def _status(row: TemplateRow) -> Literal["retired", "scheduled", "published", "draft"]:
    if row.archived:
        return "retired"
    if row.scheduled:
        return "scheduled"
    return "published" if row.version else "draft"
