"""The tenant's feature flags."""

from datetime import date

from fastapi import Request
from pydantic import BaseModel
from servicekit import CallerDep, Page, PageDep, WorkSession, get_context, page_of, route_policy
from servicekit import router as door_router
from servicekit.feature_flags import FLAGS, FlagReason

from identity.api.access import ADMINS, TenantQuery, decode_text_cursor, enter_tenant

router = door_router(tags=["feature flags"])


class FeatureFlagView(BaseModel):
    """A flag as it is for the tenant now. `owner` is the service that reads it."""

    flag: str
    description: str
    enabled: bool
    default: bool
    reason_code: FlagReason
    owner: str
    expires_on: date


@router.get("/feature-flags")
@route_policy(roles=ADMINS)
async def list_feature_flags(
    session: WorkSession, caller: CallerDep, request: Request, page: PageDep, tenant: TenantQuery = None
) -> Page[FeatureFlagView]:
    """All feature flags, by name, with their values for the tenant. Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    flags, after = get_context(request).flags, decode_text_cursor(page)
    views: list[FeatureFlagView] = []
    for name in sorted(each for each in FLAGS if each > after)[: page.limit + 1]:
        flag, value = FLAGS[name], flags.evaluate(FLAGS[name], session.tenant)
        views.append(
            FeatureFlagView(
                flag=name,
                description=flag.description,
                enabled=value.is_on,
                default=flag.default,
                reason_code=value.reason,
                owner=flag.owner,
                expires_on=flag.expires_on,
            )
        )
    return page_of(views, page, lambda each: [each.flag])
