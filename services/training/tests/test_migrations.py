"""A database of before is brought to where a new one begins, with what there is of every tenant."""

import psycopg
from servicekit.wiring import migrate_all
from testkit import Cluster
from training.service import service

_COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema = 'training' AND table_name IN ('assignment', 'skipped', 'band_stay') ORDER BY 1, 2
"""
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'training' AND tablename IN ('assignment', 'skipped')
ORDER BY 1
"""
_FORCED = "SELECT bool_and(relforcerowsecurity) FROM pg_class WHERE oid IN ('training.assignment'::regclass, 'training.skipped'::regclass)"
_AS_BEFORE = """
ALTER TABLE training.skipped DROP CONSTRAINT pk_skipped, ALTER COLUMN band_event_id SET NOT NULL;
DROP INDEX training.ix_skipped_newest;
ALTER TABLE training.skipped DROP COLUMN occasion, ADD CONSTRAINT pk_skipped PRIMARY KEY (tenant, rule, band_event_id);
CREATE INDEX ix_skipped_newest ON training.skipped (tenant, at, band_event_id, rule);
DROP INDEX training.uq_assignment_occasion;
ALTER TABLE training.assignment DROP COLUMN occasion,
    ADD CONSTRAINT uq_assignment_tenant UNIQUE (tenant, rule, band_event_id);
ALTER TABLE training.band_stay DROP COLUMN windows;
ALTER TABLE training.assignment DROP COLUMN withdrawn_code, DROP COLUMN withdrawn_values;
UPDATE training.alembic_version SET version_num = '2026_11_27_2110_versions';
INSERT INTO training.skipped (tenant, rule, band_event_id, agent_id, template, reason, detail, at)
VALUES ('t1', 'r', '0197c0de-0000-7000-8000-000000000300', gen_random_uuid(), 't', 'cooldown', '', now());
INSERT INTO training.assignment (tenant, id, agent_id, template, template_version, status, rule, band_event_id, assigned_at,
    withdrawn_reason)
VALUES ('t1', gen_random_uuid(), gen_random_uuid(), 't', 1, 'assigned', 'r', '0197c0de-0000-7000-8000-000000000300', now(),
    'it was taken back by hand');
"""


def test_what_rules_gave_has_its_occasion(cluster: Cluster) -> None:
    with cluster.database([service]) as name:
        with psycopg.connect(cluster.server.url(database=name).replace("+psycopg", ""), autocommit=True) as admin:
            new = admin.execute(_COLUMNS).fetchall(), admin.execute(_INDEXES).fetchall()
            admin.execute(_AS_BEFORE)
            migrate_all([service], cluster.settings(name))
            assert (admin.execute(_COLUMNS).fetchall(), admin.execute(_INDEXES).fetchall()) == new
            for table in ("assignment", "skipped"):
                found = admin.execute(f"SELECT occasion FROM training.{table}").fetchall()
                assert found == [("0197c0de-0000-7000-8000-000000000300",)]
            assert admin.execute(_FORCED).fetchone() == (True,)
            assert admin.execute("SELECT withdrawn_code, withdrawn_values FROM training.assignment").fetchall() == [
                ("by_hand", {})
            ]
