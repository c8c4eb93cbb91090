"""The suite on the real stack: the same users and calls, through Envoy, with Keycloak's tokens."""


from testkit.stack import Stack

from tests.flow.suite import Suite

CLIENT = "flow-test"


class OnStack(Suite):
    """Every event is handed over twice."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.url = stack.url
        self._tokens: dict[str, tuple[str, float]] = {}

    def lag(self) -> dict[str, dict[str, int]]:
        return self.stack.lag()
