"""A running ingest with one tenant, and the folder's own module of records."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from testkit import Harness, org_unit, tenant

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def ingest(harness_for: Callable[..., Awaitable[Harness]], mongodb_url: str | None) -> Harness:
    """Tenant `t1` in Berlin with a team, and the source `connect` of vendor amazon-connect. A chunk is 50 records."""
    from ingest.service import service
    from ingest_records import PEOPLE, configure_source

    harness = await harness_for(service, mongodb_url=mongodb_url)
    harness.running.parts.state.quota.chunk_records = 50
    await harness.apply_directory(
        "t1", people=PEOPLE, org_units=[org_unit("team-a")], of_tenant=tenant("t1", time_zone="Europe/Berlin")
    )
    await configure_source(harness, "t1")
    return harness
