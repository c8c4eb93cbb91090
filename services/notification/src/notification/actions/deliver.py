"""One delivery, from claim to record. What happens on the network in between belongs to no transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from servicekit import directory
from servicekit.audit import record_change
from storage import Session

from notification.clients.mail import Mail
from notification.clients.webhooks import WebhookRequest
from notification.model.retries import AttemptOutcome, compute_delay_seconds, signing_secret
from notification.store import configuration, deliveries, notices


@dataclass(frozen=True)
class DeliveryJob:
    """Attempt `number` of a delivery: either a mail or a post, or `refused` with the reason why there is neither."""

    id: UUID
    attempt_number: int
    webhook: str | None = None
    send: Mail | WebhookRequest | None = None
    refused: str = ""


async def claim(
    session: Session, id: UUID, *, lease_seconds: float, platform_secret: str, wall: datetime
) -> DeliveryJob | None:
    """Takes a delivery, for as long as the lease lasts. None when there is nothing to do or another worker does it."""
    row = await deliveries.claim(session, id, lease_seconds=lease_seconds, started_at=wall)
    if row is None:
        return None
    if row["channel"] == "webhook":
        return await _build_webhook_request(session, row, platform_secret)
    return await _build_mail(session, row)


async def _build_webhook_request(session: Session, row: dict[str, Any], platform_secret: str) -> DeliveryJob:
    id, number, name = row["id"], row["attempts"], row["webhook"]
    endpoint = await configuration.find_webhook(session, name)
    if endpoint is None or not endpoint["enabled"]:
        return DeliveryJob(id, number, name, refused="the endpoint was removed or is switched off")
    salts = [endpoint["salt"]]
    if endpoint["previous_salt"] and endpoint["previous_until"] > session.now:
        salts.append(endpoint["previous_salt"])
    signing = tuple(signing_secret(platform_secret, session.tenant, name, salt) for salt in salts)
    return DeliveryJob(
        id, number, name, WebhookRequest(endpoint["url"], f"msg_{row['event_id']}", row["payload"], signing)
    )


async def _build_mail(session: Session, row: dict[str, Any]) -> DeliveryJob:
    id, number = row["id"], row["attempts"]
    notice = await notices.find(session, row["notice_id"])
    assert notice is not None, "a delivery is added together with its notice"
    person = (await directory.load_people(session, [notice["person_id"]])).get(notice["person_id"])
    if person is None or not person.active or not person.email:
        return DeliveryJob(id, number, refused="the person is switched off or has no mail address any more")
    texts = {name: notice[name] for name in ("subject", "body", "language")}
    return DeliveryJob(id, number, send=Mail(str(id), person.email, person.display_name, **texts))


async def record_attempt(session: Session, job: DeliveryJob, outcome: AttemptOutcome | None, *, wall: datetime) -> None:
    """Writes down how the attempt went and what comes next. `outcome` None: it was refused before it began."""
    await deliveries.finish_attempt(
        session,
        job.id,
        job.attempt_number,
        outcome=outcome.state if outcome else "cancelled",
        status=outcome.status if outcome else None,
        detail=outcome.detail if outcome else job.refused,
        finished_at=wall,
    )
    state, detail, next_at = "cancelled", job.refused, None
    if outcome is not None:
        state, detail = outcome.state, outcome.detail
        if outcome.state == "gone":
            state = "failed"
        elif outcome.state == "retry":
            delay = compute_delay_seconds(job.attempt_number, delivery=job.id, retry_after=outcome.retry_after_seconds)
            if delay is None:
                state, detail = "failed", f"given up after {job.attempt_number} attempts: {outcome.detail}"
            else:
                state, next_at = "pending", session.now + timedelta(seconds=delay)
    if not await deliveries.finish_delivery(
        session, job.id, job.attempt_number, state=state, detail=detail, next_at=next_at
    ):
        return
    if next_at is not None:
        await session.schedule("deliver", str(job.id), next_at)
    else:
        await session.unschedule("deliver", str(job.id))
    if outcome is not None and outcome.state == "gone" and job.webhook:
        before = await configuration.find_webhook(session, job.webhook)
        if before is not None and before["enabled"]:
            paused = {"enabled": False, "disabled_reason": outcome.detail}
            record_change(session, "webhook", job.webhook, action="paused", before={"enabled": True}, after=paused)
        await configuration.disable_webhook(session, job.webhook, outcome.detail)
        await deliveries.cancel_pending(session, job.webhook, outcome.detail)
