"""The consumer loop: every message of a topic takes effect exactly once, or becomes a dead letter."""

from messaging.consumer.failures import FailureLimits
from messaging.consumer.loop import consume
from messaging.consumer.status import ConsumerStatus
from messaging.handler import Fenced, OffsetStep, TransactionalHandler

__all__ = ["ConsumerStatus", "FailureLimits", "Fenced", "OffsetStep", "TransactionalHandler", "consume"]
