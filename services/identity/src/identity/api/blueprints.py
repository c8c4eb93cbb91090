"""Blueprints of a tenant."""

from asyncio import to_thread
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic_core import to_json
from servicekit import CallerDep, WorkSession, bearer_token, route_policy
from servicekit import router as door_router
from servicekit.errors import Invalid
from servicekit.workers import run_in_worker

from identity.actions import blueprints as actions
from identity.api.access import ADMINS, BLUEPRINT_BYTES, TenantPath, enter_tenant, get_issuer, get_state, read_upload
from identity.model.documents import dump_yaml

router = door_router(tags=["blueprints"])

_YAML = "application/yaml"
WRITING_SECONDS = 30.0
_BUNDLE = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "object"}} for kind in (_YAML, "application/json")},
    }
}


@router.put("/tenants/{tenant}/blueprint", openapi_extra=_BUNDLE)
@route_policy(BLUEPRINT_BYTES, roles=ADMINS)
async def publish_blueprint(
    session: WorkSession,
    caller: CallerDep,
    request: Request,
    tenant: TenantPath,
    dry_run: Annotated[bool, Query(description="Only say what it would do.")] = False,
    again: Annotated[bool, Query(description="Hand out the same content once more.")] = False,
) -> actions.BlueprintReport:
    """Takes `{blueprint: name, sections: {identity: {…}, training: {…}, …}}` in YAML or JSON. A service whose section
    is not there is left as it is. Every service is asked first what it says of its section; when one refuses it (422) or
    cannot be asked (503), nothing is published. Needs tenant_admin or platform_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    data = await read_upload(request)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("not-utf-8", "The blueprint is not in UTF-8. Save it as UTF-8 and send it again.") from error
    return await actions.publish_blueprint(
        session,
        text,
        dry_run=dry_run,
        again=again,
        issuer=get_issuer(request),
        services=get_state(request).sections,
        token=bearer_token(request),
    )


@router.get(
    "/tenants/{tenant}/blueprint",
    response_class=JSONResponse,
    responses={200: {"content": {_YAML: {"schema": {"type": "string"}}}}},
)
@route_policy(roles=ADMINS)
async def export_blueprint(
    session: WorkSession,
    caller: CallerDep,
    request: Request,
    tenant: TenantPath,
    version: Annotated[int | None, Query(ge=1, le=2_000_000_000)] = None,
) -> Response:
    """The tenant as a bundle as it is now, or a version as it was published; YAML or JSON by `Accept`. Needs
    tenant_admin or platform_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    bundle = await actions.export_blueprint(session, version)
    if "yaml" in request.headers.get("accept", ""):
        return Response(await run_in_worker(dump_yaml, bundle, seconds=WRITING_SECONDS), media_type=_YAML)
    return Response(await to_thread(to_json, bundle), media_type="application/json")
