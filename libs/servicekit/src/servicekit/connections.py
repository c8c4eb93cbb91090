"""Connections of the HTTP server: how many, and how long one may keep us waiting.

uvicorn bounds only how long an idle connection is kept after an answer. A request whose head never ends, or a client that
never reads its answer, would stay for ever. How long a body may take is the door's to say (door/body.py)."""

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
"""From the first byte of a request, or from when it connects, to the end of its headers; and for the rest of a body that
was answered without being read."""
HEAD_BYTES = 65_536
STALL_SECONDS = 30.0
"""How long a client may read nothing of its answer."""
_RESPONSE_503 = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_RESPONSE_431 = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """At most `most` of them in a process; further ones are told to come back."""

    most = 4_000
    head_seconds = HEAD_SECONDS
    stall_seconds = STALL_SECONDS
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writable = cast(asyncio.Transport, transport)
        if len(self.connections) >= self.most:
            self.transport = writable
            writable.write(_RESPONSE_503)
            writable.close()
            return
        super().connection_made(writable)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        self._is_read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and getattr(self.cycle, "response_complete", True):
            self._wait_for_head()
        super().data_received(data)
        if self._head_timer is not None and not self.transport.is_closing():
            answered = getattr(self.cycle, "response_complete", False)  # before the first request there is no cycle
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not answered:
                self.transport.write(_RESPONSE_431)
                self.transport.close()

    def on_headers_complete(self) -> None:
        self._head_is_there()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_is_there()
        super().on_message_complete()

    def pause_writing(self) -> None:
        self._stall_timer = self._stall_timer or self.loop.call_later(self.stall_seconds, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    def _wait_for_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _is_read(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
