import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from testkit import Harness, org_unit, person

sys.path.insert(0, str(Path(__file__).parent))  # the service `notes` lives beside its tests

from notes.service import service


@pytest.fixture
async def notes(harness_for: Callable[..., Awaitable[Harness]]) -> Harness:
    """The service with two tenants: `acme` (ada, the lead lea, the admin root) and `zeta` (zoe)."""
    made = await harness_for(service)
    await made.directory(
        "acme",
        org_units=[org_unit("floor", kind="site"), org_unit("blue", parent="floor"), org_unit("red", parent="floor")],
        people=[
            person("ada", team="blue"),
            person("ben", team="red"),
            person("lea", roles=["agent", ("team_lead", "blue")], team="blue"),
            person("sue", roles=[("team_lead", "floor")], team="floor"),
            person("root", roles=["tenant_admin"]),
        ],
    )
    await made.directory("zeta", people=[person("zoe", roles=["tenant_admin"])])
    await made.forget_events()
    async with made.kit.sessions.begin(["acme", "zeta"], now=made.now) as session:
        await session.execute("DELETE FROM effect")
    return made
