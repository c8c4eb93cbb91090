"""The live stream over a real socket."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from contracts.assignments import AssignmentAssigned
from contracts.directory import SessionEnded, TenantChanged
from testkit import ISSUER, person, person_id, wait_until_true


def assigned(slug="ada"):
    return AssignmentAssigned.model_validate(AssignmentAssigned.example | {"agent_id": str(person_id(slug))})


@pytest.fixture
async def address(notification):
    config = uvicorn.Config(
        notification._root, port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await wait_until_true(lambda: _started(server), seconds=60)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/api/notification/v1"
    notification.context.stopping.set()
    server.should_exit = True
    await serving


async def _started(server):
    return server.started


class Stream:
    def __init__(self, lines):
        self._lines = lines

    async def next(self) -> Any:
        """The next event as (id, data); None when the stream has ended."""
        async with asyncio.timeout(60):
            found = {}
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line and name:
                    found[name] = value
                elif not line and "data" in found:
                    return int(found["id"]), json.loads(found["data"])
        return None


@asynccontextmanager
async def streaming(notification, address, who="ada", claims=None, **kwargs):
    token = notification.issuer.token(who, "t1", **(claims or {}))
    async with httpx.AsyncClient(timeout=60) as client:
        headers = {"authorization": f"Bearer {token}", **kwargs.pop("headers", {})}
        async with client.stream("GET", f"{address}/stream", headers=headers, **kwargs) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = response.aiter_lines()
            assert await anext(lines) == ": listening"
            yield Stream(lines)


async def wait_for_listeners(notification, *, streams=1):
    """Waits until the process listens for so many streams. Polling is slower than the test's time limit, so events that
    follow arrive by wake-up."""

    async def look():
        parts = notification.running.parts.state
        async with notification.context.sessions.system_transaction() as connection:
            rows = await connection.exec_driver_sql(
                "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
            )
            return rows.first() and sum(map(len, parts.listener._person_events.values())) == streams

    await wait_until_true(look, seconds=60)


async def test_a_notice_is_streamed_at_once_to_its_person_only(notification, address):
    async with streaming(notification, address) as ada, streaming(notification, address, "wei") as wei:
        await wait_for_listeners(notification, streams=2)
        await notification.deliver(assigned(), tenant="t1")
        id, data = await ada.next()
        assert (data["subject"], data["seq"]) == ("New training: Fewer silences", id)
        await notification.deliver(assigned("wei"), tenant="t1")
        assert (await wei.next())[1]["language"] == "zh"


@pytest.mark.parametrize("how", ["header", "parameter"])
async def test_a_stream_resumes_after_the_last_event_id(notification, address, how):
    for _ in range(3):
        await notification.deliver(assigned(), tenant="t1")
    seqs = sorted(each["seq"] for each in (await notification.client_as("ada", "t1").get("/inbox")).json()["items"])
    last = str(seqs[0])
    kwargs: dict[str, Any] = (
        {"headers": {"last-event-id": last}} if how == "header" else {"params": {"last_event_id": last}}
    )
    async with streaming(notification, address, **kwargs) as ada:
        assert [(await ada.next())[0] for _ in range(2)] == seqs[1:]
    async with streaming(notification, address, params={"last_event_id": "999999"}) as ada:
        await wait_for_listeners(notification)
        await notification.deliver(assigned(), tenant="t1")
        assert (await ada.next())[0] > seqs[-1]


async def test_an_invalid_last_event_id_is_refused(notification):
    answer = await notification.client_as("ada", "t1").get("/stream", params={"last_event_id": "x"})
    assert answer.status_code == 422


async def test_streams_share_one_listening_connection_and_hold_no_transaction(notification, address):
    async with (
        streaming(notification, address),
        streaming(notification, address),
        streaming(notification, address, "wei"),
    ):
        await wait_for_listeners(notification, streams=3)
        await wait_until_true(lambda: _only_one_listens_and_all_are_idle(notification), seconds=60)
    await wait_until_true(lambda: _silent(notification), seconds=60)


async def _only_one_listens_and_all_are_idle(notification):
    async with notification.context.sessions.system_transaction() as connection:
        rows = (
            await connection.exec_driver_sql(
                "SELECT state, query FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ).all()
    assert len([row for row in rows if row.query.startswith("LISTEN")]) == 1
    return not [row for row in rows if row.state != "idle"]


async def _silent(notification):
    return not notification.running.parts.state.listener._person_events


async def test_a_stream_polls_when_it_is_not_woken(notification, settings, address):
    wakes = notification.running.parts.state.listener
    async with streaming(notification, address) as ada:
        await wait_for_listeners(notification)
        wakes._listener.cancel()
        await asyncio.wait([wakes._listener])
        await notification.deliver(assigned(), tenant="t1")
        assert await ada.next() is not None


@pytest.fixture
def settings(request):
    """Polls often in the test of polling, and in effect never in the others."""
    often = request.node.name.startswith("test_a_stream_polls")
    return {"stream_poll_seconds": 0.2 if often else 600, "stream_heartbeat_seconds": 1}


async def test_a_stream_sends_heartbeats_and_ends_when_the_person_is_deactivated(notification, address):
    async with streaming(notification, address) as ada:
        await wait_for_listeners(notification)
        seen = []
        async with asyncio.timeout(60):
            async for line in ada._lines:
                seen.append(line)
                if line.startswith(": ping"):
                    break
        await notification.deliver(person("ada", team="a", active=False), tenant="t1")
        assert await ada.next() is None


NOW = datetime.now(UTC)
ENDED = {"iss": ISSUER, "ended_at": NOW + timedelta(days=1), "until": NOW + timedelta(days=2)}
ENDS = {
    "its session ends": SessionEnded(**ENDED, sid="s-1", sub="ada"),
    "all sessions end": SessionEnded(**ENDED, sub="ada"),
    "another role": person("ada", team="a", roles=["trainer"]),
    "no role": person("ada", team="a", roles=[]),
    "another login": person("ada", team="a").model_copy(update={"logins": []}),
    "the tenant is off": TenantChanged(slug="t1", name="T", active=False),
}


@pytest.mark.parametrize("event", ENDS.values(), ids=ENDS)
async def test_a_stream_ends_at_once_when_access_is_lost(notification, address, event):
    async with (
        streaming(notification, address, claims={"sid": "s-1"}) as ada,
        streaming(notification, address, "wei", claims={"sid": "s-2"}) as wei,
    ):
        await wait_for_listeners(notification, streams=2)
        await notification.deliver(event, tenant="platform" if isinstance(event, SessionEnded) else "t1")
        assert await ada.next() is None
        if not isinstance(event, TenantChanged):
            await notification.deliver(assigned("wei"), tenant="t1")
            assert await wei.next() is not None


async def test_a_stream_ends_when_the_token_expires(notification, address):
    began = time.time()
    claims = {"iat": int(began) - 10, "exp": int(began) + 3}
    async with streaming(notification, address, claims=claims) as ada:
        await wait_for_listeners(notification)
        assert await ada.next() is None
    assert int(began) + 3 <= time.time() < began + 30


async def test_a_stream_ends_when_the_process_stops(notification, address):
    async with streaming(notification, address) as ada:
        await wait_for_listeners(notification)
        notification.context.stopping.set()
        assert await ada.next() is None
