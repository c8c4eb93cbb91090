"""Live streams: so many at a time of one person and of one tenant."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn
from testkit import wait_until_true

from tests.hostile.conftest import HostileSuite


@pytest.fixture
async def address(suite: HostileSuite) -> AsyncIterator[str]:
    harness = suite.harnesses["notification"]
    config = uvicorn.Config(harness._root, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await wait_until_true(started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/api/notification/v1/stream"
    harness.context.stopping.set()
    server.should_exit = True
    await serving


async def test_streams_of_a_person_and_of_a_tenant_are_limited(suite: HostileSuite, address: str) -> None:
    places = suite.harnesses["notification"].running.parts.state.stream_slots
    places.max_per_person, places.max_per_tenant = 3, 4

    async def opened(who: str) -> tuple[int, httpx.Response]:
        headers = {"authorization": f"Bearer {suite.issuer.token(who, 'acme')}"}
        answer = await client.send(client.build_request("GET", address, headers=headers), stream=True)
        return answer.status_code, answer

    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=None)) as client:
        boss = await asyncio.gather(*(opened("boss") for _ in range(30)))
        taken = [answer for status, answer in boss if status == 200]
        refused = [answer for status, answer in boss if status == 429]
        assert (len(taken), len(refused)) == (3, 27), "also when all of them come at once"
        assert refused[0].headers["retry-after"]
        assert refused[0].headers["content-type"] == "application/problem+json"
        (status, ada), (too_many, _) = await opened("ada"), await opened("ben")
        assert (status, too_many) == (200, 429), "the tenant's four are taken"
        for answer in (*taken, ada):
            await answer.aclose()

        async def free() -> bool:
            return not +places._open

        await wait_until_true(free)
        status, answer = await opened("boss")
        assert status == 200
        await answer.aclose()
