"""KPI models over HTTP: read, check, publish."""

from datetime import datetime
from importlib.resources import files
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from servicekit import CallerDep, Page, PageDep, WorkSession, bounded_page, page_of, page_within, route_policy
from servicekit import router as door_router
from servicekit.errors import Invalid, NotFound
from storage import Session

from kpi_engine.actions import publishing
from kpi_engine.api.answers import Answer, render_answer
from kpi_engine.model.document import Model
from kpi_engine.model.functions import text_of
from kpi_engine.store import models, values
from kpi_engine.store.models import PublishedModel

router: APIRouter = door_router(tags=["models"])
PUBLISHER_ROLES = ("tenant_admin", "integration")
_MAX_SAMPLED_FACTS = 5000
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


class KpiModel(BaseModel):
    """A published model: `model` as data, `document` as it was written. `retired`: it is counted no more. `publishing`: a
    newer version is being counted, and is in force when that is done; of a KPI that has none yet this is the first."""

    kpi: str
    version: int
    model: dict[str, Any]
    document: str
    silence: list[str]
    retired: bool = False
    publishing: bool = False


class StandardKpi(BaseModel):
    """`document` is YAML."""

    kpi: str
    document: str


class ModelPlan(BaseModel):
    """What a checked model asks of the facts."""

    where: str | None
    value: str
    aggregates: list[str]
    numerator: str | None
    denominator: str | None
    silence: list[str]


class KpiReport(KpiModel):
    """With `dry_run`, `version` is the one that it would be, and `sample` its value over the newest `examined` facts."""

    dry_run: bool
    plan: ModelPlan
    sample: Answer | None = None
    examined: int = 0


class KpiVersion(BaseModel):
    """A published version of a model."""

    version: int
    published_at: datetime
    published_by: UUID | None
    document: str


@router.get("/kpis")
@route_policy(reach="tenant")
async def list_kpis(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[KpiModel]:
    """The models in force, by name."""
    found = page_within((await models.load_catalogue(session)).models.values(), page, lambda each: each.kpi)
    return Page[KpiModel](items=[_kpi_view(each) for each in found.items], next=found.next)


@router.get("/standard-kpis")
@route_policy(reach="tenant")
async def list_standard_kpis(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[StandardKpi]:
    """Models to begin with: publish one, or a changed copy of it."""
    known = [StandardKpi(kpi=name, document=text) for name, text in standard_models()]
    return page_within(known, page, lambda each: each.kpi)


def standard_models() -> list[tuple[str, str]]:
    """Name and YAML of the models that come with the product."""
    found = [each for each in files("kpi_engine").joinpath("standard").iterdir() if each.name.endswith(".yaml")]
    return sorted((each.name.removesuffix(".yaml"), each.read_text(encoding="utf-8")) for each in found)


@router.get("/kpis/{kpi}", response_model=KpiModel)
@route_policy(reach="tenant")
async def get_kpi(kpi: str, request: Request, session: WorkSession, caller: CallerDep) -> Any:
    """As JSON; with `Accept: application/yaml` the document as it was written."""
    waiting = await models.find_waiting(session, kpi)
    retired = await models.find_retired(session, kpi)
    if waiting and not retired and kpi not in (await models.load_catalogue(session)).models:
        published = await _preview_version(session, await publishing.read_model(session, kpi, waiting), waiting)
    else:
        published = retired or await require_published(session, kpi)
    if "yaml" in request.headers.get("accept", ""):
        return Response(published.document, media_type="application/yaml")
    return _kpi_view(published).model_copy(update={"retired": retired is not None, "publishing": waiting is not None})


@router.delete("/kpis/{kpi}", status_code=204)
@route_policy(roles=PUBLISHER_ROLES)
async def retire_kpi(kpi: str, session: WorkSession, caller: CallerDep) -> None:
    """It is counted no more, and is no part of a blueprint. Its versions can still be read, and the bands that were told
    stay; PUT brings it back, counted from the facts. Refused (409) while another service's rules name it."""
    await publishing.retire_model(session, kpi)


@router.get("/kpis/{kpi}/versions")
@route_policy(reach="tenant")
async def list_kpi_versions(kpi: str, session: WorkSession, caller: CallerDep, page: PageDep) -> Page[KpiVersion]:
    """Every version that was ever published, newest first."""
    before = page.value(int)
    rows, page = await bounded_page(
        session,
        "SELECT version, published_at, published_by, document FROM kpi_model "
        "WHERE tenant = :tenant AND kpi = :kpi AND (cast(:before AS int) IS NULL OR version < :before)",
        {"tenant": session.tenant, "kpi": kpi, "before": before},
        page,
        order="version DESC",
        size="octet_length(document)",
    )
    if not rows and not before:
        raise NotFound("unknown-kpi", f"There is no KPI `{kpi}`.")
    return page_of([KpiVersion.model_validate(row) for row in rows], page, lambda each: [each.version])


_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"model": KpiReport, "description": "Accepted: it is counted, and then in force. GET tells when."}
}


@router.put("/kpis/{kpi}", openapi_extra=_BODY, responses=_ACCEPTED)
@route_policy(roles=PUBLISHER_ROLES, dry_run_roles=("quality_analyst", "trainer"))
async def put_kpi(
    kpi: str, request: Request, response: Response, session: WorkSession, caller: CallerDep, dry_run: bool = False
) -> KpiReport:
    """Publishes a model as YAML or JSON. The same content again makes no new version. With many facts to count the answer
    is 202: until they are counted the version before is in force, and GET says `publishing`. Needs tenant_admin or integration;
    for a `dry_run`, which says what it would compute, quality_analyst or trainer will do."""
    if not dry_run:
        caller.require_role(*PUBLISHER_ROLES, whole_tenant=True)
    text = await _text(request)
    if not dry_run:
        published = await publishing.save_or_schedule(session, kpi, text, caller.person_id)
        scheduled = published is None
        if published is None:
            published = await _preview_version(session, await publishing.read_model(session, kpi, text), text)
            response.status_code = 202
        shown = _kpi_view(published).model_copy(update={"publishing": scheduled})
        return KpiReport(**dict(shown), dry_run=False, plan=render_plan(published.model))
    model = await publishing.read_model(session, kpi, text)
    row = await values.compute_sample(session, model.plan, model.source, _MAX_SAMPLED_FACTS)
    answer = model.plan.compute_value(row.components, row.sample, parts=True)
    return KpiReport(
        **dict(_kpi_view(await _preview_version(session, model, text))),
        dry_run=True,
        plan=render_plan(model),
        sample=render_answer(answer),
        examined=row.examined,
    )


async def _preview_version(session: Session, model: Model, text: str) -> PublishedModel:
    """The model with the version number that publishing would give it."""
    return PublishedModel(model, await models.next_version(session, model), text)


async def _text(request: Request) -> str:
    try:
        return (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("not-text", f"The document is not UTF-8: {error.reason} at byte {error.start}.") from error


async def require_published(session: Session, kpi: str) -> PublishedModel:
    """The model in force. Raises NotFound."""
    catalogue = await models.load_catalogue(session)
    if kpi not in catalogue.models:
        known = ", ".join(f"`{name}`" for name in catalogue.models) or "none yet"
        raise NotFound("unknown-kpi", f"There is no KPI `{kpi}`. There are: {known}.")
    return catalogue.models[kpi]


def render_plan(model: Model) -> ModelPlan:
    """The plan of a model as text."""
    numerator, denominator = model.plan.fraction
    return ModelPlan(
        where=text_of(model.plan.where) if model.plan.where else None,
        value=text_of(model.plan.value),
        aggregates=[component.name for component in model.plan.components],
        numerator=text_of(numerator) if denominator else None,
        denominator=text_of(denominator) if denominator else None,
        silence=[silence.describe() for silence in model.plan.silences],
    )


def _kpi_view(published: PublishedModel) -> KpiModel:
    return KpiModel(
        kpi=published.kpi,
        version=published.version,
        model=published.model.content,
        document=published.document,
        silence=[silence.describe() for silence in published.model.plan.silences],
    )
