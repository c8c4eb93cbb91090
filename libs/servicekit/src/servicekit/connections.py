"""Limits on connections of the HTTP server: how many, and how long one may stall.

uvicorn has a timeout only for idle connections after a response. Without these limits, a request whose headers never end,
or a client that never reads its response, would hold a connection forever. door/body.py limits the time for a body."""

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
"""Limit from the connect, or a request's first byte, to the end of its headers; also for the rest of a body that was
answered without being read."""
HEAD_BYTES = 65_536
STALL_SECONDS = 30.0
"""How long a client may stop reading its response."""
_RESPONSE_503 = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_RESPONSE_431 = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """An HTTP connection. A process accepts at most `max_connections`; further ones are answered 503 with Retry-After."""

    max_connections = 4_000
    head_seconds = HEAD_SECONDS
    stall_seconds = STALL_SECONDS
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Rejects the connection when there are too many, else starts the timer for its first request."""
        writable = cast(asyncio.Transport, transport)
        if len(self.connections) >= self.max_connections:
            self.transport = writable
            writable.write(_RESPONSE_503)
            writable.close()
            return
        super().connection_made(writable)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the connection's timers."""
        self._cancel_head_timer()
        self._cancel_stall_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Starts the timer for the next request's headers, and answers 431 when they exceed HEAD_BYTES."""
        if self._head_timer is None and getattr(self.cycle, "response_complete", True):
            self._start_head_timer()
        super().data_received(data)
        if self._head_timer is not None and not self.transport.is_closing():
            answered = getattr(self.cycle, "response_complete", False)  # before the first request there is no cycle
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not answered:
                self.transport.write(_RESPONSE_431)
                self.transport.close()

    def on_headers_complete(self) -> None:
        """Cancels the timer for the headers."""
        self._cancel_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Cancels the timer for the rest of an unread body."""
        self._cancel_head_timer()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Starts the timer for a client that does not read its response."""
        self._stall_timer = self._stall_timer or self.loop.call_later(self.stall_seconds, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Cancels the timer for a client that does not read its response."""
        self._cancel_stall_timer()
        super().resume_writing()

    def _start_head_timer(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cancel_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
