"""Connections that keep the server waiting, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import uvicorn
from fastapi import FastAPI, Request
from servicekit.connections import Connection
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from testkit import wait_until_true

app = FastAPI()
HEAD = b"POST /read HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n"


@app.post("/read")
async def read(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@app.post("/refuse")
async def refuse() -> Response:
    return PlainTextResponse("no", 401)


@app.get("/much")
async def much() -> Response:
    async def told() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b"x" * 100_000

    return StreamingResponse(told())


class Few(Connection):
    max_connections = 20
    head_seconds = 0.5
    stall_seconds = 0.5


@pytest.fixture
async def server() -> AsyncIterator[uvicorn.Server]:
    made = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off", http=Few))
    serving = asyncio.create_task(made.serve())

    async def started() -> bool:
        return made.started

    await wait_until_true(started)
    yield made
    made.should_exit = True
    await serving


async def connect(server: uvicorn.Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])


async def all_closed(server: uvicorn.Server) -> None:
    async def none() -> bool:
        return not server.server_state.connections

    await wait_until_true(none)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection is closed, however."""
    found = b""
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            found += chunk
    return found


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET ", HEAD, HEAD[:-5], b"GET /" + b"a" * 1000, b"\r\n"],
    ids=["nothing", "a method", "headers without an end", "half a header", "half an address", "a blank line"],
)
async def test_a_request_whose_head_does_not_end_is_cut_off(server: uvicorn.Server, sent: bytes) -> None:
    open_ones = [await connect(server) for _ in range(10)]
    for _, writer in open_ones:
        writer.write(sent)
    async with asyncio.timeout(10):
        for reader, writer in open_ones:
            assert await rest(reader) == b""
            writer.close()
    await all_closed(server)


async def test_a_head_that_comes_byte_by_byte_is_cut_off(server: uvicorn.Server) -> None:
    reader, writer = await connect(server)

    async def drip() -> None:
        with suppress(ConnectionError):
            for byte in HEAD * 100:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)  # sleep: a client that drips

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(10):
        assert await rest(reader) == b""
    dripping.cancel()
    writer.close()
    await all_closed(server)


async def test_the_second_request_of_a_connection_has_the_same_limits(server: uvicorn.Server) -> None:
    reader, writer = await connect(server)
    writer.write(HEAD + b"\r\n0123456789" + b"GET /half")
    async with asyncio.timeout(10):
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"10")
    writer.close()
    await all_closed(server)


async def test_a_body_that_nobody_reads_is_not_taken_for_ever(server: uvicorn.Server) -> None:
    reader, writer = await connect(server)
    writer.write(b"POST /refuse HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000000\r\n\r\n")

    async def pour() -> None:
        with suppress(ConnectionError):
            for _ in range(10_000):
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.01)  # sleep: a client that pours

    pouring = asyncio.create_task(pour())
    async with asyncio.timeout(10):
        assert (await rest(reader)).startswith(b"HTTP/1.1 401")
    pouring.cancel()
    writer.close()
    await all_closed(server)


async def test_a_head_has_a_size(server: uvicorn.Server) -> None:
    reader, writer = await connect(server)
    writer.write(b"GET /" + b"a" * 200_000)
    async with asyncio.timeout(10):
        assert (await rest(reader))[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 400")
    writer.close()
    await all_closed(server)


async def test_who_does_not_read_the_answer_is_cut_off(server: uvicorn.Server) -> None:
    _, writer = await connect(server)
    writer.write(b"GET /much HTTP/1.1\r\nhost: t\r\n\r\n")
    await all_closed(server)
    writer.close()


async def test_more_connections_than_there_may_be_are_told_to_come_back(server: uvicorn.Server) -> None:
    open_ones = [await connect(server) for _ in range(Few.max_connections)]

    async def full() -> bool:
        return len(server.server_state.connections) == Few.max_connections

    await wait_until_true(full)
    reader, writer = await connect(server)
    async with asyncio.timeout(10):
        assert (await rest(reader)).startswith(b"HTTP/1.1 503")
    for _, each in [*open_ones, (reader, writer)]:
        each.close()
    await all_closed(server)
    reader, writer = await connect(server)
    writer.write(HEAD + b"connection: close\r\n\r\n0123456789")
    assert (await rest(reader)).endswith(b"10")
    writer.close()


async def test_a_slow_but_honest_client_is_answered(server: uvicorn.Server) -> None:
    """What arrives in time and is read slowly is no fault."""
    reader, writer = await connect(server)
    for _ in range(3):
        writer.write(HEAD + b"\r\n01234")
        await asyncio.sleep(0.7)  # sleep: a slow client
        writer.write(b"56789")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(2) == b"10"
    writer.close()
    await all_closed(server)
