"""Real parts for tests: PostgreSQL, tokens, builders, one service at its doors."""

from testkit.builders import org_unit, parse_instant, person, person_after_move, person_id, tenant, unit_id
from testkit.harness import Harness, stable_ids
from testkit.plugin import wait_until_true
from testkit.postgres import Cluster
from testkit.tokens import AUDIENCE, ISSUER, TestIssuer

__all__ = [
    "AUDIENCE",
    "ISSUER",
    "Cluster",
    "Harness",
    "TestIssuer",
    "org_unit",
    "parse_instant",
    "person",
    "person_after_move",
    "person_id",
    "stable_ids",
    "tenant",
    "unit_id",
    "wait_until_true",
]
