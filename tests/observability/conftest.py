"""The running whole that these tests share."""

from collections.abc import Iterator

import pytest
from testkit import Cluster, TestIssuer

from tests.observability.whole import Whole, whole


@pytest.fixture(scope="session")
def running(cluster: Cluster, issuer: TestIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """All services in one process."""
    with whole(cluster, issuer, tmp_path_factory.mktemp("whole")) as made:
        yield made
