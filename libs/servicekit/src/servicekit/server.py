"""The HTTP server of a process, which leaves in order: first not ready, then no longer listening, then gone."""

import signal
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from servicekit.connections import Connection
from servicekit.run import Process


def _connections(most: int) -> type[Connection]:
    return type("Connection", (Connection,), {"most": most})


class Server(uvicorn.Server):
    """On SIGTERM or SIGINT the process says that it is stopping: its streams end and /readyz answers 503, so that a
    gateway sends new requests elsewhere; those that still come are answered for `drain_seconds`. A second signal does
    not wait."""

    def __init__(
        self, app: FastAPI, process: Process, *, host: str, port: int, drain_seconds: float = 0, finish_seconds: int = 5
    ) -> None:
        config = uvicorn.Config(
            app,
            host,
            port,
            http=_connections(process.settings.connections),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=finish_seconds,
        )
        super().__init__(config)
        self._process = process
        self._drain_seconds = drain_seconds
        self._leave_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._process.stopping.set()
        if self._leave_at is not None or self._drain_seconds == 0 or sig == signal.SIGINT:
            # As uvicorn does, but without raising the signal once more at the end: the process leaves in order.
            self.force_exit |= self.should_exit and sig == signal.SIGINT
            self.should_exit = True
        else:
            self._leave_at = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            self.should_exit = True
        return await super().on_tick(counter)
