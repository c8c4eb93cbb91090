"""Which failures the consumer retries, buries or stops at."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from messaging.broker import Message
from messaging.handler import Fenced
from messaging.retry import is_transient


class ConsumerFailed(Exception):
    """The consumer stops until a person has looked at it."""


@dataclass(frozen=True, slots=True)
class FailureLimits:
    """When a consumer stops instead of burying a whole topic.

    It stops when at least `min_failures` of the remembered messages, and more than the share `ratio` of them (0 to 1),
    were buried. Of a tenant the last `remembered_per_tenant` messages are remembered. That must be fewer than
    `min_failures`, so that one tenant's bad messages never stop the consumer: it takes failures of several tenants to show
    that the consumer itself is broken. Otherwise raises ValueError. Of messages without a tenant the last
    `remembered_messages` are remembered, and of tenants at most as many.
    """

    remembered_messages: int = 100
    ratio: float = 0.5
    min_failures: int = 20
    remembered_per_tenant: int = 10

    def __post_init__(self) -> None:
        if self.remembered_per_tenant >= self.min_failures:
            raise ValueError(
                f"one tenant could stop the consumer: remembered_per_tenant is {self.remembered_per_tenant}, which is not"
                f" below min_failures, {self.min_failures}"
            )


@dataclass(slots=True)
class FailureHistory:
    """Which of the last messages were buried, by tenant."""

    limits: FailureLimits
    _outcomes: OrderedDict[str, deque[bool]] = field(default_factory=OrderedDict[str, deque[bool]])
    """By tenant, the most recent last: for each remembered message, whether it was buried."""

    def record(self, tenant: str, *, buried: bool, count: int = 1) -> None:
        """Adds `count` messages with the same outcome."""
        self._outcomes[tenant] = self._with(tenant, buried=buried, count=count)
        self._outcomes.move_to_end(tenant)
        if len(self._outcomes) > self.limits.remembered_messages:
            self._outcomes.popitem(last=False)

    def check_limits(self, message: Message, error: Exception) -> None:
        """Raises ConsumerFailed when burying this message too would exceed the limits."""
        tenant = tenant_of(message)
        outcomes = {**self._outcomes, tenant: self._with(tenant, buried=True)}
        buried = sum(map(sum, outcomes.values()))
        known = sum(map(len, outcomes.values()))
        if buried >= self.limits.min_failures and buried > self.limits.ratio * known:
            raise ConsumerFailed(
                f"{buried} of the last {known} messages failed, the last one (offset {message.offset} of"
                f" {message.topic}/{message.partition}) with {describe_error(error)}"
            ) from error

    def _with(self, tenant: str, *, buried: bool, count: int = 1) -> deque[bool]:
        size = self.limits.remembered_per_tenant if tenant else self.limits.remembered_messages
        return deque([*self._outcomes.get(tenant, ()), *[buried] * min(count, size)], maxlen=size)


def is_permanent(error: Exception) -> bool:
    """Whether a retry is of no use, so that the message becomes a dead letter."""
    return not isinstance(error, Fenced | ConsumerFailed) and not is_transient(error)


def tenant_of(message: Message) -> str:
    """The tenant in the message's headers; empty without one."""
    return message.headers.get("ce_tenant", "")


def describe_error(error: Exception) -> str:
    """Class and text of an error, for status and log."""
    return f"{type(error).__name__}: {error}"
