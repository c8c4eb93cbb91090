"""How many streams are open: each holds memory and a turn at every heartbeat for as long as its reader stays."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from servicekit.errors import TooMany
from sse_starlette import EventSourceResponse
from starlette.types import Receive, Scope, Send


class StreamSlots:
    """At most so many at a time, of one person and of one tenant, in this process."""

    def __init__(self, *, of_person: int = 8, of_tenant: int = 2_000) -> None:
        self.max_per_person = of_person
        self.max_per_tenant = of_tenant
        self._taken: Counter[tuple[str, UUID | None]] = Counter()

    @contextmanager
    def reserve(self, tenant: str, person_id: UUID) -> Generator[None]:
        """A place until the end of the block. Raises TooMany."""
        for whose, most, who in ((person_id, self.max_per_person, "a person"), (None, self.max_per_tenant, "a tenant")):
            if self._taken[tenant, whose] >= most:
                raise TooMany(
                    "too-many-streams", f"At most {most:,} streams of {who} are open at once.", retry_after=30
                )
        self._taken[tenant, person_id] += 1
        self._taken[tenant, None] += 1
        try:
            yield
        finally:
            for whose in (person_id, None):
                self._taken[tenant, whose] -= 1
                if not self._taken[tenant, whose]:
                    del self._taken[tenant, whose]


class LimitedStream(EventSourceResponse):
    """Takes its place when it begins to answer and gives it back when it has ended, however that comes about."""

    places: StreamSlots
    whose: tuple[str, UUID]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers while it holds a slot of the person's."""
        with self.places.reserve(*self.whose):
            await super().__call__(scope, receive, send)


def with_slot(stream: LimitedStream, places: StreamSlots, tenant: str, person_id: UUID) -> LimitedStream:
    """Attaches the slots, tenant and person to a stream that has not begun."""
    stream.places, stream.whose = places, (tenant, person_id)
    return stream
