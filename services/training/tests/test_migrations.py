"""What databases of before hold of every tenant comes along."""

import psycopg
from servicekit.wiring import build_role_url
from storage import ensure_schema, migrate
from testkit import Cluster
from training.service import service

STAY = "0197c0de-0000-7000-8000-000000000300"
_AS_BEFORE = f"""
INSERT INTO training.skipped (tenant, rule, band_event_id, agent_id, template, reason, detail, at)
SELECT tenant, 'r', '{STAY}', gen_random_uuid(), 't', 'cooldown', '', now() FROM unnest(ARRAY['t1', 't2']) tenant;
INSERT INTO training.assignment (tenant, id, agent_id, template, template_version, status, rule, band_event_id, assigned_at,
    withdrawn_reason)
SELECT tenant, gen_random_uuid(), gen_random_uuid(), 't', 1, 'assigned', 'r', '{STAY}', now(), 'it was taken back by hand'
FROM unnest(ARRAY['t1', 't2']) tenant
"""


def test_what_rules_gave_has_its_occasion_and_a_code(cluster: Cluster, empty_database: str) -> None:
    settings = cluster.settings(empty_database)
    ensure_schema(str(settings.admin_database_url), "training", role="training")
    url = build_role_url(settings, "training")
    migrate(url, service.migrations, to="2026_11_27_2110_versions")
    with psycopg.connect(cluster.server.url(database=empty_database).replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(_AS_BEFORE)
        migrate(url, service.migrations)
        for table in ("assignment", "skipped"):
            found = admin.execute(f"SELECT tenant, occasion FROM training.{table} ORDER BY 1").fetchall()
            assert found == [("t1", STAY), ("t2", STAY)]
        codes = admin.execute("SELECT withdrawn_code, withdrawn_values FROM training.assignment").fetchall()
        assert codes == [("by_hand", {})] * 2
