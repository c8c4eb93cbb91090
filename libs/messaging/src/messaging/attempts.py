"""What ends its process is not tried for ever: what a reader begins with after a start is counted, durably.

In the steady course of things nothing is counted. Only what a process begins with in each partition is: if that ends the
process, by a crash or because the process hung and was killed, the count stands there when the next one begins at the same
place. From then on it goes message by message, one reader of the process at a time, so that none is blamed for another's;
and a message that was begun `MAX_ATTEMPTS` times without an end is buried untried.
"""

import asyncio
from typing import Protocol

from messaging.broker import TopicPartition

MAX_ATTEMPTS = 3


class ProcessCrashed(Exception):
    """The process that handled this message was gone before it had come to an end, every time."""

    transient = False
    of_content = True


class Attempts(Protocol):
    """Counts of what stands at the stored offsets of one group. They are 0 again as soon as an offset moves."""

    suspect_lock: asyncio.Lock
    """Of all readers of the process: held by the one that handles what may have ended the process before."""

    async def count_attempts(self, source: TopicPartition) -> int: ...

    async def begin_attempt(self, source: TopicPartition) -> None:
        """One more, committed at once."""
        ...

    async def end_attempt(self, source: TopicPartition) -> None:
        """It has come to an end, though it did not take effect: none."""
        ...
