"""Limits the open streams: each needs memory, and work at every heartbeat, while its reader is connected."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from servicekit.errors import TooMany
from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send


class StreamSlots:
    """Limits the streams that are open at a time in this process, per person and per tenant."""

    def __init__(self, *, max_per_person: int = 8, max_per_tenant: int = 2_000) -> None:
        self.max_per_person = max_per_person
        self.max_per_tenant = max_per_tenant
        self._open: Counter[tuple[str, UUID | None]] = Counter()

    @contextmanager
    def reserve(self, tenant: str, person_id: UUID) -> Generator[None]:
        """Reserves a slot until the end of the block. Raises TooMany."""
        for whose, most, who in ((person_id, self.max_per_person, "a person"), (None, self.max_per_tenant, "a tenant")):
            if self._open[tenant, whose] >= most:
                raise TooMany(
                    "too-many-streams", f"At most {most:,} streams of {who} are open at once.", retry_after=30
                )
        self._open[tenant, person_id] += 1
        self._open[tenant, None] += 1
        try:
            yield
        finally:
            for whose in (person_id, None):
                self._open[tenant, whose] -= 1
                if not self._open[tenant, whose]:
                    del self._open[tenant, whose]


class LimitedStream(EventSourceResponse):
    """A stream that holds a slot from the start of the response to its end, also after an error."""

    slots: StreamSlots
    owner: tuple[str, UUID]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response while it holds a slot. Raises TooMany."""
        with self.slots.reserve(*self.owner):
            await super().__call__(scope, receive, send)


def with_slot(stream: LimitedStream, slots: StreamSlots, tenant: str, person_id: UUID) -> LimitedStream:
    """Attaches the slots, tenant and person to a stream that has not started."""
    stream.slots, stream.owner = slots, (tenant, person_id)
    return stream
