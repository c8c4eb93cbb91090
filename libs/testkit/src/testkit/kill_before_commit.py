"""Kills a process of a service between writing a document and committing the row that references it.

`kill_before_commit` sends one request to another process of a harness's service, on the same databases. That process gets
a SIGKILL when its first document is durable. Its transaction is open then, and is never committed.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any

import httpx
from servicekit.settings import PlatformSettings
from servicekit.wiring import build_service
from storage import Document, MongoDocumentStore

from testkit.harness import Harness
from testkit.tokens import TestIssuer


async def kill_before_commit(harness: Harness, who: str, tenant: str, method: str, path: str, **request: Any) -> None:
    """Sends the request as person `who`. `request` holds arguments of httpx that JSON can hold. Raises AssertionError when the
    process was not killed, because the request wrote no document."""
    order = {
        "service": harness.running.service.migrations.package.removesuffix("migrations") + "service:service",
        "settings": harness.context.settings.model_dump(),
        "login": [who, tenant],
        "request": {"method": method, "url": path, **request},
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await child.communicate(json.dumps(order).encode())
    assert child.returncode == -signal.SIGKILL, output.decode()


async def _die(order: dict[str, Any]) -> None:
    put = MongoDocumentStore.put

    async def put_and_die(
        self: MongoDocumentStore, tenant: str, collection: str, documents: Sequence[Document]
    ) -> None:
        await put(self, tenant, collection, documents)
        os.kill(os.getpid(), signal.SIGKILL)

    MongoDocumentStore.put = put_and_die
    issuer = TestIssuer()
    running = build_service(
        resolve_name(order["service"]),
        PlatformSettings(**order["settings"]),
        http=httpx.AsyncClient(),
        verifier=issuer.verifier(),
        stopping=asyncio.Event(),
    )
    answer = await Harness(running, issuer).client_as(*order["login"]).request(**order["request"])
    raise SystemExit(f"it lived and answered {answer.status_code}: {answer.text}")


if __name__ == "__main__":
    asyncio.run(_die(json.load(sys.stdin)))
