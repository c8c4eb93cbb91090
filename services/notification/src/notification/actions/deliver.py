"""Attempts of a delivery: claiming it, and recording the outcome. Sending happens in between, outside of transactions."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from servicekit import directory
from servicekit.audit import record_change
from storage import Session

from notification.clients.mail import Mail
from notification.clients.webhooks import WebhookRequest
from notification.model.retries import AttemptOutcome, compute_delay_seconds, derive_signing_secret
from notification.store import configuration, deliveries, notices
from notification.store.deliveries import ClaimedDelivery


@dataclass(frozen=True)
class DeliveryJob:
    """An attempt of a delivery. `send`: the mail or request to send; None when `refused` gives the reason why there is none."""

    id: UUID
    attempt_number: int
    webhook: str | None = None
    send: Mail | WebhookRequest | None = None
    refused: str = ""


async def claim(
    session: Session, id: UUID, *, lease_seconds: float, platform_secret: str, wall: datetime
) -> DeliveryJob | None:
    """Claims a delivery for `lease_seconds` and prepares what to send. None when it is finished or another worker holds it.
    `wall`: the wall clock's time."""
    claimed = await deliveries.claim(session, id, lease_seconds=lease_seconds, started_at=wall)
    if claimed is None:
        return None
    if claimed.channel == "webhook":
        return await _build_webhook_request(session, claimed, platform_secret)
    return await _build_mail(session, claimed)


async def _build_webhook_request(session: Session, claimed: ClaimedDelivery, platform_secret: str) -> DeliveryJob:
    assert claimed.webhook is not None, "a webhook delivery has a webhook"
    assert claimed.payload is not None, "a webhook delivery has a payload"
    job = DeliveryJob(claimed.id, claimed.attempt_number, claimed.webhook)
    webhook = await configuration.find_webhook(session, claimed.webhook)
    if webhook is None or not webhook.enabled:
        return replace(job, refused="the endpoint was removed or is switched off")
    salts = [webhook.salt]
    if webhook.previous_salt and webhook.previous_until and webhook.previous_until > session.now:
        salts.append(webhook.previous_salt)
    secrets = tuple(derive_signing_secret(platform_secret, session.tenant, webhook.webhook, salt) for salt in salts)
    return replace(job, send=WebhookRequest(webhook.url, f"msg_{claimed.event_id}", claimed.payload, secrets))


async def _build_mail(session: Session, claimed: ClaimedDelivery) -> DeliveryJob:
    job = DeliveryJob(claimed.id, claimed.attempt_number)
    assert claimed.notice_id is not None, "only webhook deliveries have no notice"
    notice = await notices.find(session, claimed.notice_id)
    assert notice is not None, "a delivery is inserted together with its notice"
    person = (await directory.load_people(session, [notice.person_id])).get(notice.person_id)
    if person is None or not person.active or not person.email:
        return replace(job, refused="the person is switched off or has no mail address any more")
    mail = Mail(str(claimed.id), person.email, person.display_name, notice.subject, notice.body, notice.language)
    return replace(job, send=mail)


async def record_attempt(session: Session, job: DeliveryJob, outcome: AttemptOutcome | None, *, wall: datetime) -> None:
    """Records the outcome of an attempt and schedules the next one, if any. `outcome` None: the attempt was refused before
    sending. `wall`: the wall clock's time."""
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
        if before is not None and before.enabled:
            paused = {"enabled": False, "disabled_reason": outcome.detail}
            record_change(session, "webhook", job.webhook, action="paused", before={"enabled": True}, after=paused)
        await configuration.disable_webhook(session, job.webhook, outcome.detail)
        await deliveries.cancel_pending(session, job.webhook, outcome.detail)
