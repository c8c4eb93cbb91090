"""The tenant's webhooks and their deliveries."""

import json
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from contracts import new_id
from fastapi import Request
from pydantic import BaseModel, Field
from servicekit import CallerDep, Page, PageDep, WorkSession, get_context, page_of, page_within, route_policy
from servicekit import router as door_router
from servicekit.audit import record_change
from servicekit.errors import Conflict, Invalid, NotFound
from servicekit.strict_models import StrictModel
from storage import Session

from notification.actions import configure, notify
from notification.api.dependencies import DependenciesDep
from notification.api.inbox import DeliveryView
from notification.api.rules import ADMIN
from notification.model.events import TEST_EVENT
from notification.model.retries import derive_signing_secret
from notification.model.rules import Webhook, webhook_problems
from notification.store import configuration, deliveries
from notification.store.configuration import WebhookRow

router = door_router(tags=["webhooks"])


class WebhookBody(StrictModel):
    """`rotate_secret`: a new secret; for a day, events are signed with the one before as well."""

    url: str = Field(max_length=2_000)
    events: list[str] = Field(min_length=1, max_length=50)
    enabled: bool = True
    rotate_secret: bool = False


class WebhookView(BaseModel):
    """A webhook endpoint, without its secret."""

    webhook: str
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    created_at: datetime

    @classmethod
    def from_row(cls, row: WebhookRow) -> Self:
        """The webhook as administrators see it."""
        return cls.model_validate(row, from_attributes=True)


class WebhookWithSecret(WebhookView):
    """`secret` is shown when it is new, and never again."""

    secret: str | None = None


class Queued(BaseModel):
    """The id of the delivery that was queued."""

    delivery: UUID


@router.get("/webhooks")
@route_policy(roles=(ADMIN,))
async def list_webhooks(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[WebhookView]:
    """The tenant's endpoints, by name. Needs tenant_admin."""
    found = [WebhookView.from_row(row) for row in await configuration.load_webhooks(session)]
    return page_within(found, page, lambda each: each.webhook)


@router.get("/webhooks/{webhook}")
@route_policy(roles=(ADMIN,))
async def get_webhook(webhook: str, session: WorkSession, caller: CallerDep) -> WebhookView:
    """An endpoint, without its secret. Needs tenant_admin."""
    return WebhookView.from_row(await _require_webhook(session, webhook))


@router.put("/webhooks/{webhook}")
@route_policy(roles=(ADMIN,), idempotency_key=False)
async def put_webhook(
    webhook: str,
    body: WebhookBody,
    request: Request,
    session: WorkSession,
    caller: CallerDep,
    dependencies: DependenciesDep,
) -> WebhookWithSecret:
    """Adds or changes an endpoint. Needs tenant_admin."""
    parsed = _parse_webhook(webhook, body)
    if problems := list(webhook_problems([parsed], dependencies.policy)):
        own = [each.model_copy(update={"pointer": each.pointer.removeprefix("/webhooks/0")}) for each in problems]
        raise Invalid("invalid-webhook", "This endpoint cannot be used; `errors` says why.", errors=own)
    is_secret_new = await configure.save_webhook(session, parsed, rotate=body.rotate_secret)
    await configure.publish_section_applied(session, version=None)
    row = await _require_webhook(session, webhook)
    view = WebhookWithSecret.from_row(row)
    if is_secret_new:
        view.secret = derive_signing_secret(get_context(request).settings.secret, session.tenant, webhook, row.salt)
    return view


@router.delete("/webhooks/{webhook}", status_code=204)
@route_policy(roles=(ADMIN,))
async def delete_webhook(webhook: str, session: WorkSession, caller: CallerDep) -> None:
    """Removes an endpoint: nothing more is sent to it. Needs tenant_admin."""
    await configure.remove_webhook(session, webhook)
    await configure.publish_section_applied(session, version=None)


@router.post("/webhooks/{webhook}/test", status_code=202)
@route_policy(roles=(ADMIN,))
async def test_webhook(webhook: str, session: WorkSession, caller: CallerDep) -> Queued:
    """Sends an event `webhook.test`; how it went is among the endpoint's deliveries."""
    if not (await _require_webhook(session, webhook)).enabled:
        raise Conflict("webhook-off", f"The endpoint `{webhook}` is switched off.")
    event_id = new_id()
    payload: dict[str, Any] = {
        "type": TEST_EVENT,
        "timestamp": session.now.isoformat(),
        "tenant": session.tenant,
        "data": {},
    }
    delivery = await notify.queue_webhook_delivery(session, webhook, TEST_EVENT, event_id, json.dumps(payload))
    assert delivery is not None, "a new event id has no delivery yet"
    return Queued(delivery=delivery)


@router.get("/webhooks/{webhook}/deliveries")
@route_policy(roles=(ADMIN,))
async def list_webhook_deliveries(
    webhook: str, session: WorkSession, caller: CallerDep, page: PageDep
) -> Page[DeliveryView]:
    """Newest first, each with all its attempts."""
    await _require_webhook(session, webhook)
    before = page.value(UUID)
    rows = await deliveries.load_by_webhook(session, webhook, before=before, limit=page.limit + 1)
    return page_of([DeliveryView.from_row(row) for row in rows], page, cursor=lambda each: [str(each.id)])


@router.post("/webhooks/{webhook}/deliveries/{delivery}/retry", status_code=202)
@route_policy(roles=(ADMIN,))
async def retry_delivery(webhook: str, delivery: UUID, session: WorkSession, caller: CallerDep) -> Queued:
    """Sends once more what failed or was cancelled."""
    await _require_webhook(session, webhook)
    if not await deliveries.requeue(session, webhook, delivery):
        raise NotFound("nothing-to-retry", f"`{webhook}` has no failed or cancelled delivery {delivery}.")
    record_change(session, "delivery", str(delivery), action="retried", after={"webhook": webhook})
    await session.schedule("deliver", str(delivery), session.now)
    return Queued(delivery=delivery)


def _parse_webhook(webhook: str, body: WebhookBody) -> Webhook:
    values = body.model_dump(exclude={"rotate_secret"})
    try:
        return Webhook(webhook=webhook, **values)
    except ValueError as error:
        raise Invalid(
            "invalid-webhook-name", f"`{webhook}` is no name for an endpoint: use a-z, 0-9 and `-`."
        ) from error


async def _require_webhook(session: Session, webhook: str) -> WebhookRow:
    row = await configuration.find_webhook(session, webhook)
    if row is None:
        raise configure.unknown_webhook_error(webhook)
    return row
