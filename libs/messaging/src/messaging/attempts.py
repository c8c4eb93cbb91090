"""Attempt counts in the database, so that a message that crashes the process is not retried forever.

Only the first message of each partition after the process has started is counted. If the process crashes or is killed
while handling it, the next process finds the count at the same offset. It then handles messages one by one, and in one
consumer of the process at a time, so that a crash is attributed to the right message. A message with `MAX_ATTEMPTS`
unfinished attempts becomes a dead letter without another attempt.
"""

import asyncio
from typing import Protocol

from messaging.broker import TopicPartition

MAX_ATTEMPTS = 3


class ProcessCrashed(Exception):
    """Every process that handled this message ended before it had finished."""

    transient = False
    caused_by_content = True
    """The message is at fault, not the consumer; such errors are not checked against FailureLimits."""


class Attempts(Protocol):
    """Attempts at the messages at one group's stored offsets. A count is 0 again as soon as its offset moves."""

    suspect_lock: asyncio.Lock
    """Shared by all consumers of the process. Held while handling a message that may have crashed the previous one."""

    async def count_attempts(self, partition: TopicPartition) -> int:
        """The number of unfinished attempts at the stored offset."""
        ...

    async def begin_attempt(self, partition: TopicPartition) -> None:
        """Adds one to the count, and commits at once."""
        ...

    async def end_attempt(self, partition: TopicPartition) -> None:
        """Sets the count to 0: the attempt finished without crashing the process, though it may have failed."""
        ...
