"""The running whole that these tests share."""

from collections.abc import Iterator

import pytest
from testkit import Cluster, TestIssuer

from tests.observability.in_process_suite import InProcessSuite, start_in_process_suite


@pytest.fixture(scope="session")
def running(cluster: Cluster, issuer: TestIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessSuite]:
    """All services in one process."""
    with start_in_process_suite(cluster, issuer, tmp_path_factory.mktemp("whole")) as made:
        yield made
