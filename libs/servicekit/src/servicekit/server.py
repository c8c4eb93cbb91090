"""The HTTP server of a process. It shuts down in order: first not ready, then no longer listening, then stopped."""

import signal
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from servicekit.connections import Connection
from servicekit.run import Process


def _connection_class(max_connections: int) -> type[Connection]:
    return type("Connection", (Connection,), {"max_connections": max_connections})


class Server(uvicorn.Server):
    """A uvicorn server with a drain period. After SIGTERM, the process's streams end and /readyz answers 503, so that a
    gateway sends new requests elsewhere; requests are still answered for `drain_seconds`. SIGINT, or a second signal,
    skips the drain period."""

    def __init__(
        self, app: FastAPI, process: Process, *, host: str, port: int, drain_seconds: float = 0, finish_seconds: int = 5
    ) -> None:
        config = uvicorn.Config(
            app,
            host,
            port,
            http=_connection_class(process.settings.connections),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=finish_seconds,
        )
        super().__init__(config)
        self._process = process
        self._drain_seconds = drain_seconds
        self._drain_until: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The signal handler: starts the drain period, or ends it."""
        self._process.stopping.set()
        if self._drain_until is not None or self._drain_seconds == 0 or sig == signal.SIGINT:
            # As uvicorn does, but without raising the signal again at the end, so that the process exits normally.
            self.force_exit |= self.should_exit and sig == signal.SIGINT
            self.should_exit = True
        else:
            self._drain_until = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Whether the server should exit; called by uvicorn several times a second."""
        if self._drain_until is not None and time.monotonic() >= self._drain_until:
            self.should_exit = True
        return await super().on_tick(counter)
