"""Real programs and a running whole that these tests share."""

from collections.abc import Iterator

import pytest
from testkit import Cluster, TestIssuer
from testkit.fixtures.kafka import kafka, kafka_program
from testkit.fixtures.prometheus import prometheus

from tests.observability.whole import Whole, whole

__all__ = ["kafka", "kafka_program", "prometheus"]


@pytest.fixture(scope="session")
def running(cluster: Cluster, issuer: TestIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """All services in one process."""
    with whole(cluster, issuer, tmp_path_factory.mktemp("whole")) as made:
        yield made
