"""What must flow: server-sent events, WebSockets, uploads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
from testkit import wait_until_true
from testkit.programs.envoy import Envoy


async def test_an_event_arrives_before_the_stream_ends(client: httpx.AsyncClient) -> None:
    headers = {"accept": "text/event-stream", "accept-encoding": "gzip"}
    async with client.stream("GET", "/api/notification/v1/stream", headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        assert "content-encoding" not in answer.headers
        parts = answer.aiter_text()
        assert await anext(parts) == "data: first\n\n"
        await client.post("/api/notification/v1/release")
        assert await anext(parts) == "data: second\n\n"


async def test_a_websocket_is_open_in_both_directions(
    gateway_for: Callable[..., Envoy], bearer: dict[str, str]
) -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        # Envoy is started beside the loop: the server must answer its question for health meanwhile.
        gateway = await asyncio.to_thread(gateway_for, upstreams={"forms": f"127.0.0.1:{port}"})
        status, _, writer = await shake_hands(gateway.port, None)
        assert status == 401
        writer.close()
        status, reader, writer = await shake_hands(gateway.port, bearer["authorization"])
        assert status == 101
        for word in (b"hello", b"again"):
            writer.write(word)
            assert await asyncio.wait_for(reader.readexactly(len(word) + 1), 20) == b">" + word
        writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Healthy; and where one asks for a WebSocket, says back what it hears (frames are none of the gateway's)."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"upgrade: websocket" not in head:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            while heard := await reader.read(1000):
                writer.write(b">" + heard)
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def shake_hands(port: int, authorization: str | None) -> tuple[int, Any, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [
        "GET /api/forms/v1/live HTTP/1.1", "host: gateway", "connection: upgrade", "upgrade: websocket",
        "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ]  # fmt: skip
    lines += [f"authorization: {authorization}"] if authorization else []
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    return int(head.split()[1]), reader, writer


async def test_an_upload_flows_while_it_is_sent(client: httpx.AsyncClient) -> None:
    async def begun() -> int:
        return (await client.get("/api/ingest/v1/hits")).json().get("begun", 0)

    before = await begun()

    async def parts() -> AsyncIterator[bytes]:
        yield b"a" * 1000
        await wait_until_true(lambda: more_than(begun, before), seconds=20)
        yield b"b" * 1000

    answer = await client.post("/api/ingest/v1/sources/pbx/records", content=parts())
    assert answer.json()["bytes"] == 2000


async def more_than(count: Callable[[], Any], before: int) -> bool:
    return await count() > before


async def test_an_upload_may_be_larger_than_an_ordinary_body(client: httpx.AsyncClient) -> None:
    size = 12 << 20
    announced = await client.post("/api/ingest/v1/sources/pbx/records", content=b"x" * size)
    assert announced.json()["bytes"] == size
    assert (await client.post("/api/ingest/v1/sources", content=b"x" * size)).status_code == 413
