"""Attempt counts in the database: a message that crashes the process is not retried for ever.

Only the first message of each partition after a start of the process is counted. If it ends the process (by a crash, or
because the process hung and was killed), the next process finds the count at the same offset. It then handles messages
one by one, and one consumer of the process at a time, so that no message is blamed for another's crash. A message with
`MAX_ATTEMPTS` unfinished attempts is buried without another try.
"""

import asyncio
from typing import Protocol

from messaging.broker import TopicPartition

MAX_ATTEMPTS = 3


class ProcessCrashed(Exception):
    """Every process that handled this message ended before it had finished."""

    transient = False
    caused_by_content = True


class Attempts(Protocol):
    """Attempts at the messages at one group's stored offsets. A count is 0 again as soon as its offset moves."""

    suspect_lock: asyncio.Lock
    """Shared by all consumers of the process. Held while handling a message that may have crashed the previous one."""

    async def count_attempts(self, source: TopicPartition) -> int:
        """Unfinished attempts at the stored offset."""
        ...

    async def begin_attempt(self, source: TopicPartition) -> None:
        """Adds one, committed at once."""
        ...

    async def end_attempt(self, source: TopicPartition) -> None:
        """Sets the count to 0: the attempt finished, though it did not take effect."""
        ...
