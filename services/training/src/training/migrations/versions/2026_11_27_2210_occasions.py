"""A rule gives a training for an occasion, of which a stay in a band may have several; and of a stay its windows are known."""

from alembic import op

revision = "2026_11_27_2210_occasions"
down_revision = "2026_11_27_2110_versions"


def upgrade() -> None:
    # Its owner sees the rows of all tenants only while row-level security is not forced on it, too.
    for table in ("assignment", "skipped"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE band_stay ADD COLUMN IF NOT EXISTS windows jsonb NOT NULL DEFAULT '{}'")
    op.execute("ALTER TABLE assignment ADD COLUMN IF NOT EXISTS occasion text")
    op.execute("UPDATE assignment SET occasion = band_event_id::text WHERE occasion IS NULL AND rule IS NOT NULL")
    op.execute("ALTER TABLE assignment DROP CONSTRAINT IF EXISTS uq_assignment_tenant")
    op.execute("CREATE UNIQUE INDEX IF NOT EXISTS uq_assignment_occasion ON assignment (tenant, rule, occasion)")
    op.execute("ALTER TABLE skipped ADD COLUMN IF NOT EXISTS occasion text")
    op.execute("UPDATE skipped SET occasion = band_event_id::text WHERE occasion IS NULL")
    op.execute("ALTER TABLE skipped DROP CONSTRAINT IF EXISTS pk_skipped")
    op.execute("ALTER TABLE skipped ALTER COLUMN band_event_id DROP NOT NULL")
    op.execute("ALTER TABLE skipped ADD CONSTRAINT pk_skipped PRIMARY KEY (tenant, rule, occasion)")
    op.execute("DROP INDEX IF EXISTS ix_skipped_newest")
    op.execute("CREATE INDEX ix_skipped_newest ON skipped (tenant, at, occasion, rule)")
    for table in ("assignment", "skipped"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
