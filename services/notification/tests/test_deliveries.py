"""Mail and webhooks against a real SMTP server and a real HTTP receiver."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from contracts.assignments import AssignmentAssigned
from notification.clients.webhooks import WebhookRequest, WebhookSender
from servicekit.outbound import UrlPolicy
from standardwebhooks import Webhook
from testkit import person, person_id, wait_until_true

HOOK = "/webhooks/crm"


def assigned(slug="ada"):
    return AssignmentAssigned.model_validate(AssignmentAssigned.example | {"agent_id": str(person_id(slug))})


@pytest.fixture
async def webhook_secret(notification, receiver):
    """The receiver's secret."""
    body = {"url": receiver.url, "events": ["assignment.assigned"]}
    return (await notification.client_as("adam", "t1").put(HOOK, json=body)).json()["secret"]


async def timeline(h):
    (one,) = (await h.client_as("adam", "t1").get(f"{HOOK}/deliveries")).json()["items"]
    return one


async def wait_for_state(h, state):
    """Waits for the delivery to be in this state with its last attempt finished."""

    async def look():
        one = await timeline(h)
        over = one["timeline"] and one["timeline"][-1]["finished_at"]
        return one if one["state"] == state and over else None

    return await wait_until_true(look, seconds=60)


async def test_a_webhook_is_signed_and_sent_once(notification, receiver, webhook_secret, work, tick):
    await notification.deliver(assigned(), tenant="t1")
    async with work(notification):
        await tick()
        one = await wait_for_state(notification, "delivered")
        await tick(datetime.now(UTC) + timedelta(days=5))
    ((line, headers, body),) = receiver.seen
    assert line == "POST /hook HTTP/1.1"
    data = Webhook(webhook_secret).verify(body, headers)
    assert (data["type"], data["data"]["template"]) == ("assignment.assigned", "silence-basics")
    assert headers["webhook-id"] == f"msg_{one['event_id']}"
    assert [(each["number"], each["outcome"], each["status"]) for each in one["timeline"]] == [(1, "delivered", 200)]
    assert (
        (await notification.client_as("adam", "t1").get("/webhooks"))
        .json()["items"][0]
        .keys()
        .isdisjoint({"secret", "salt"})
    )


async def test_a_failed_webhook_is_retried_on_schedule(notification, receiver, webhook_secret, work, tick):
    receiver.answers = [(500, {}, 0), (302, {"location": receiver.url}, 0), (200, {}, 0)]
    await notification.deliver(assigned(), tenant="t1")
    async with work(notification):
        await tick()
        one = await wait_for_state(notification, "pending")
        wait = datetime.fromisoformat(one["next_at"]) - datetime.fromisoformat(one["timeline"][0]["finished_at"])
        assert timedelta(seconds=5) <= wait <= timedelta(seconds=6)
        assert await tick(datetime.fromisoformat(one["next_at"]) - timedelta(seconds=1)) == 0
        await tick(datetime.now(UTC) + timedelta(seconds=6))
        await wait_until_true(lambda: _attempts(notification, 2), seconds=60)
        await wait_for_state(notification, "pending")
        await tick(datetime.now(UTC) + timedelta(seconds=340))
        one = await wait_for_state(notification, "delivered")
    assert [(each["outcome"], each["status"]) for each in one["timeline"]] == [
        ("retry", 500), ("retry", 302), ("delivered", 200),
    ]  # fmt: skip
    assert len({headers["webhook-id"] for _, headers, _ in receiver.seen}) == 1
    assert len(receiver.seen) == 3


async def _attempts(h, count):
    one = await timeline(h)
    return len(one["timeline"]) == count and one["timeline"][-1]["finished_at"]


async def test_retry_after_is_respected(notification, receiver, webhook_secret, work, tick):
    receiver.answers = [(429, {"retry-after": "1800"}, 0), (200, {}, 0)]
    await notification.deliver(assigned(), tenant="t1")
    async with work(notification):
        await tick()
        one = await wait_for_state(notification, "pending")
    wait = datetime.fromisoformat(one["next_at"]) - datetime.fromisoformat(one["timeline"][0]["finished_at"])
    assert timedelta(seconds=1799) < wait < timedelta(seconds=1860)


async def test_status_410_disables_the_webhook(notification, receiver, webhook_secret, work, tick):
    receiver.answers = [(410, {}, 0)]
    await notification.deliver(assigned(), tenant="t1")
    admin = notification.client_as("adam", "t1")
    async with work(notification):
        await tick()
        await wait_for_state(notification, "failed")
    (endpoint,) = (await admin.get("/webhooks")).json()["items"]
    assert (endpoint["enabled"], endpoint["disabled_reason"][:3]) == (False, "410")
    await notification.deliver(assigned(), tenant="t1")
    assert len((await admin.get(f"{HOOK}/deliveries")).json()["items"]) == 1
    assert (await admin.post(f"{HOOK}/test")).status_code == 409
    body = {"url": receiver.url, "events": ["assignment.assigned"]}
    again = (await admin.put(HOOK, json=body)).json()
    assert (again["enabled"], again["disabled_reason"], again["secret"]) == (True, None, None)


@pytest.fixture
def impatient(settings):
    settings["webhook_timeout_seconds"] = 2


async def test_a_slow_endpoint_times_out_and_a_failed_delivery_can_be_sent_again(
    impatient, notification, receiver, webhook_secret, work, tick
):
    receiver.answers = [(200, {}, 30), (200, {}, 0)]
    await notification.deliver(assigned(), tenant="t1")
    admin = notification.client_as("adam", "t1")
    async with work(notification):
        await tick()
        one = await wait_for_state(notification, "pending")
        assert one["timeline"][0]["detail"] == "no answer within 2 s"
        await admin.put(HOOK, json={"url": receiver.url, "events": ["*"], "enabled": False})
        one = await wait_for_state(notification, "cancelled")
        await admin.put(HOOK, json={"url": receiver.url, "events": ["*"]})
        assert (await admin.post(f"{HOOK}/deliveries/{one['id']}/retry")).status_code == 202
        await tick()
        await wait_for_state(notification, "delivered")
        assert (await admin.post(f"{HOOK}/deliveries/{one['id']}/retry")).status_code == 404


async def test_a_worker_that_dies_during_an_attempt_leads_to_one_more_attempt(
    notification, receiver, webhook_secret, settings, work, tick
):
    receiver.answers = [(200, {}, 100), (200, {}, 0)]
    await notification.deliver(assigned(), tenant="t1")
    (run,) = notification.running.parts.background
    task = asyncio.create_task(run(notification.context))
    await tick()
    await wait_until_true(lambda: _seen(receiver, 1), seconds=60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await timeline(notification))["state"] == "sending"
    lease = timedelta(seconds=settings["lease_seconds"] + 1)
    later = datetime.now(UTC) + lease
    async with work(notification):
        assert await tick(later) == 1  # due by the tenant's clock, but the lease, in real time, has not expired
        await wait_until_true(lambda: _idle(run.__self__), seconds=60)
        assert len(receiver.seen) == 1
        async with notification.context.sessions.begin(["t1"], now=later) as session:
            await session.execute("UPDATE delivery SET leased_until = clock_timestamp() - interval '1 second'")
        assert await tick(later + lease) == 1
        one = await wait_for_state(notification, "delivered")
    assert [each["outcome"] for each in one["timeline"]] == ["interrupted", "delivered"]
    assert receiver.seen[0][1]["webhook-id"] == receiver.seen[1][1]["webhook-id"]
    assert len(receiver.seen) == 2


async def _seen(receiver, count):
    return len(receiver.seen) >= count


async def _idle(outbound):
    return not outbound._queued


async def test_two_workers_never_send_the_same_delivery(notification, receiver, webhook_secret, work, tick):
    receiver.answers = [(200, {}, 0.5)]
    await notification.deliver(assigned(), tenant="t1")
    outbound = notification.running.parts.background[0].__self__
    (row,) = await notification.rows("t1", "SELECT id FROM delivery WHERE channel = 'webhook'")
    await asyncio.gather(*(outbound._deliver(notification.context, "t1", row["id"]) for _ in range(4)))
    assert len(receiver.seen) == 1
    assert (await timeline(notification))["attempts"] == 1


async def test_a_test_event_is_signed_with_the_new_and_the_previous_secret(
    notification, receiver, webhook_secret, work, tick
):
    admin = notification.client_as("adam", "t1")
    body = {"url": receiver.url, "events": ["assignment.assigned"], "rotate_secret": True}
    new = (await admin.put(HOOK, json=body)).json()["secret"]
    assert new != webhook_secret
    assert (await admin.post(f"{HOOK}/test")).status_code == 202
    async with work(notification):
        await tick()
        await wait_for_state(notification, "delivered")
    ((_, headers, sent),) = receiver.seen
    for secret in (new, webhook_secret):
        assert Webhook(secret).verify(sent, headers)["type"] == "webhook.test"


async def test_a_name_that_resolves_to_a_private_address_is_refused(receiver):
    lookups = []

    async def rebinding(host, port):
        lookups.append((host, port))
        return ["93.184.216.34", "127.0.0.1"]

    sender = WebhookSender(UrlPolicy(), timeout_seconds=2, resolve=rebinding)
    post = WebhookRequest(f"https://hooks.example.org:{8443}/x", "msg_1", "{}", ("whsec_" + "QUJD" * 8,))
    outcome = await sender.send(post, now=datetime.now(UTC))
    assert (outcome.state, outcome.detail) == ("retry", "hooks.example.org leads to no address that is public")
    assert lookups == [("hooks.example.org", 8443)]
    assert receiver.seen == []


async def test_the_host_header_holds_the_name(receiver):
    async def here(host, port):
        return ["127.0.0.1"]

    sender = WebhookSender(UrlPolicy(allow_loopback=True), timeout_seconds=60, resolve=here)
    post = WebhookRequest(f"http://localhost:{receiver.port}/x?y=1", "msg_1", "{}", ("whsec_" + "QUJD" * 8,))
    assert (await sender.send(post, now=datetime.now(UTC))).state == "delivered"
    assert receiver.seen[0][0] == "POST /x?y=1 HTTP/1.1"
    assert receiver.seen[0][1]["host"] == f"localhost:{receiver.port}"


@pytest.fixture
def mailing(settings, mailbox):
    settings |= {"smtp_host": "127.0.0.1", "smtp_port": mailbox.port, "smtp_security": "none"}
    settings["smtp_sender"] = "Uplift <hello@uplift.example>"
    return mailbox


async def mail_delivery(h):
    (notice,) = (await h.client_as("ada", "t1").get("/inbox")).json()["items"]
    found = (await h.client_as("ada", "t1").get(f"/inbox/{notice['id']}/deliveries")).json()["items"]
    return next(each for each in found if each["channel"] == "email")


async def wait_for_mail_state(h, state):
    async def look():
        one = await mail_delivery(h)
        over = one["timeline"] and one["timeline"][-1]["finished_at"]
        return one if one["state"] == state and over else None

    return await wait_until_true(look, seconds=60)


async def test_a_mail_has_a_plain_and_an_html_part(mailing, notification, work, tick):
    await notification.client_as("adam", "t1").put(
        "/texts",
        json={
            "texts": {
                "assignment.assigned": {"en": {"subject": "For {{ person.name }}", "body": "<b>{{ title }}</b>\n!"}}
            }
        },
    )
    await notification.deliver(person("ada", team="a", email="ada@example.org", display_name="Ada <i>"), tenant="t1")
    await notification.deliver(assigned(), tenant="t1")
    async with work(notification):
        await tick()
        one = await wait_for_mail_state(notification, "delivered")
        await tick(datetime.now(UTC) + timedelta(days=5))
    (mail,) = mailing.mails
    assert mail["to"] == '"Ada <i>" <ada@example.org>'
    assert mail["from"] == "Uplift <hello@uplift.example>"
    assert mail["subject"] == "For Ada <i>"
    assert mail["message-id"] == f"<{one['id']}@uplift.example>"
    plain, html = (part.get_payload(decode=True).decode() for part in mail.get_payload())
    assert plain.splitlines() == ["<b>Fewer silences</b>", "!"]
    assert "&lt;b&gt;Fewer silences&lt;/b&gt;<br />" in html


async def test_a_refused_mail_is_retried_or_fails(mailing, notification, work, tick):
    mailing.refuse = ["450 later", "550 nobody here"]
    await notification.deliver(assigned(), tenant="t1")
    async with work(notification):
        await tick()
        await wait_for_mail_state(notification, "pending")
        await tick(datetime.now(UTC) + timedelta(seconds=6))
        one = await wait_for_mail_state(notification, "failed")
    assert [(each["outcome"], each["status"]) for each in one["timeline"]] == [("retry", 450), ("failed", 550)]
    assert mailing.mails == []


async def test_deactivated_people_get_no_mail(mailing, notification, work, tick):
    await notification.deliver(assigned(), tenant="t1")
    await notification.deliver(person("ada", team="a", email="ada@example.org", active=False), tenant="t1")
    async with work(notification):
        await tick()
        await wait_until_true(lambda: _cancelled(notification), seconds=60)
    assert mailing.mails == []


async def _cancelled(h):
    return await h.rows("t1", "SELECT 1 FROM delivery WHERE channel = 'email' AND state = 'cancelled'")
