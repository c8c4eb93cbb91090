"""Real parts for tests: PostgreSQL, tokens, builders, a service with its doors."""

from testkit.builders import org_unit, parse_instant, person, person_after_move, person_id, tenant, unit_id
from testkit.harness import Harness, stable_ids
from testkit.postgres import Cluster
from testkit.tokens import AUDIENCE, ISSUER, TestIssuer
from testkit.waiting import wait_for, wait_until_true

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
    "wait_for",
    "wait_until_true",
]
