"""Real parts for tests: PostgreSQL, tokens, builders, one service at its doors."""

from testkit.builders import at, moved, org_unit, person, person_id, tenant, unit_id
from testkit.harness import Harness, stable_ids
from testkit.plugin import eventually
from testkit.postgres import Cluster
from testkit.tokens import AUDIENCE, ISSUER, TestIssuer

__all__ = [
    "AUDIENCE",
    "ISSUER",
    "Cluster",
    "Harness",
    "TestIssuer",
    "at",
    "eventually",
    "moved",
    "org_unit",
    "person",
    "person_id",
    "stable_ids",
    "tenant",
    "unit_id",
]
