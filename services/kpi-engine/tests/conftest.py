"""A tenant with two teams, a KPI with bands, and a way to make legs."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from contracts import derived_id
from contracts.legs import LegRecorded
from kpi_engine.actions import publishing
from kpi_engine.service import service
from testkit import Harness, org_unit, parse_instant, person, person_id

SILENCE = """\
kpi: silence
title: {en: Silence}
unit: percent
direction: lower_is_better
source: legs
where: channel = 'voice' and conversation_ms > 0
value: 100 * sum(silence()) / sum(conversation_ms)
min_sample: 2
bands:
  enter: {x: 2, of: 3}
  leave: {x: 2, of: 3}
  edges: [{name: good, from: 0}, {name: coach, from: 60}]
targets:
  - {when: "tenure_days < 90", edges: [{name: good, from: 0}, {name: coach, from: 80}]}
"""
LONGEST = """\
kpi: longest
title: {en: Longest talk}
unit: seconds
direction: lower_is_better
source: legs
value: max(talk_ms) / 1000
"""


@pytest.fixture
def silence() -> str:
    return SILENCE


@pytest.fixture
def longest() -> str:
    return LONGEST


@pytest.fixture
def leg() -> Callable[..., LegRecorded]:
    """`leg("c-1", "ada", "2026-03-02", silent=60)`: a call of 100 s with that many seconds of silence."""

    def make(
        name: str, agent: str | None, day: str, *, silent: int | None = 50, version: int = 1, **fields: Any
    ) -> LegRecorded:
        defaults: dict[str, Any] = {
            "interaction_id": interaction(name), "leg": 1, "source": "connect", "vendor": "amazon-connect",
            "external_id": name, "agent_id": agent and person_id(agent), "channel": "voice", "queue": "Billing",
            "direction": "inbound", "started_at": parse_instant(f"{day}T08:00Z"), "workday": day, "conversation_ms": 100_000,
            "talk_ms": 100_000, "silence_vendor_ms": None if silent is None else silent * 1000, "answered": True,
        }  # fmt: skip
        return LegRecorded(version=version, **(defaults | fields))

    return make


def interaction(name: str) -> UUID:
    return derived_id("test interaction", name)


@pytest_asyncio.fixture
async def kpi(harness_for) -> Harness:
    """Tenant t1: ada and bob in team a (ada a newcomer), cid in team b; leads, an admin; the KPIs silence, longest."""
    h: Harness = await harness_for(service)
    await h.apply_directory(
        "t1",
        org_units=[org_unit("site", kind="site"), org_unit("a", parent="site"), org_unit("b", parent="site")],
        people=[
            person("ada", team="a", attributes={"hire_date": "2026-02-01"}),
            person("bob", team="a", attributes={"hire_date": "2020-01-01"}),
            person("cid", team="b"),
            person("lea", roles=[("team_lead", "a")], team="a"),
            person("adm", roles=["tenant_admin"]),
        ],
    )
    async with h.context.sessions.begin(["t1"], now=h.now) as session:
        await publishing.save_model(session, "silence", SILENCE, None)
        await publishing.save_model(session, "longest", LONGEST, None)
    await h.clear_outbox()
    return h
