"""What stands behind the gateway in its tests: one process that plays any service, and the identity provider.

`python upstream.py NAME PORT KEYS`: NAME is told in every answer, KEYS is a file with the issuer's public keys.
The first SIGTERM makes it not ready, the second one ends it: a test says when.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn

NAME, PORT, KEYS = sys.argv[1], int(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
state = {"ready": True}
hits: Counter[str] = Counter()
released = asyncio.Event()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: C901, PLR0912 - a router without a framework
    if scope["type"] != "http":
        return
    path: str = scope["path"]
    last = path.rpartition("/")[2]
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    if last not in ("readyz", "hits"):
        hits[f"{scope['method']} {last}"] += 1
    if path == "/readyz":
        await answer(send, {"ready": state["ready"]}, 200 if state["ready"] else 503)
    elif last == "certs":
        await answer(send, KEYS)
    elif last == "hits":
        await answer(send, dict(hits))
    elif last == "stream":
        await stream(send)
    elif last == "release":
        released.set()
        await answer(send, {})
    elif last == "unavailable":
        await answer(
            send,
            {"type": "urn:uplift:problem:own"},
            503,
            {"content-type": "application/problem+json", "retry-after": "7"},
        )
    elif last == "die":
        os._exit(9)
    elif last == "hang":
        await asyncio.sleep(3600)  # sleep: a service that hangs
    elif last == "page":
        await answer(send, {"text": "call " * 2000}, headers={"content-type": "text/html; charset=utf-8"})
    elif last == "large":
        await answer(send, {"text": "call " * 2000}, headers={"server": "secret/1.0", "x-envoy-told": "1"})
    elif last == "framed":
        await answer(send, {}, headers={"content-security-policy": "frame-ancestors 'self'"})
    else:
        size = await body(receive)
        told = {"path": path, "query": scope["query_string"].decode(), "headers": headers, "bytes": size}
        await answer(send, {"replica": NAME, "method": scope["method"], **told})


async def body(receive: Any) -> int:
    """Counts; says in `hits` when the first part has arrived."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if size:
            hits["begun"] += 1
        if message["type"] == "http.disconnect":
            hits["cut"] += 1
        if not message.get("more_body"):
            return size


async def stream(send: Any) -> None:
    """The second event comes only after somebody, having seen the first, asks for it."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
    await released.wait()
    await send({"type": "http.response.body", "body": b"data: second\n\n"})


async def answer(send: Any, content: Any, status: int = 200, headers: Mapping[str, str] = {}) -> None:
    whole = json.dumps(content).encode()
    told = {"content-type": "application/json", "content-length": str(len(whole)), **headers}
    pairs = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": whole})


class Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: Any) -> None:
        if state["ready"]:
            state["ready"] = False
        else:
            super().handle_exit(sig, frame)


if __name__ == "__main__":
    Server(uvicorn.Config(app, "127.0.0.1", PORT, log_level="warning", access_log=False, lifespan="off")).run()
