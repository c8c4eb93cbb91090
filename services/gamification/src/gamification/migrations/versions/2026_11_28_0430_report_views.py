"""Report views for a tenant's reader of the database, in place of rights on the tables (ADR 37)."""

from alembic import op

revision = "2026_11_28_0430_report_views"
down_revision = "2026_11_28_0020_reasons"


def upgrade() -> None:
    op.execute("""
CREATE VIEW report_ledger_entry WITH (security_barrier = true) AS
SELECT tenant, id, agent_id, rule, points, at AS booked_at, earned_on
FROM ledger WHERE tenant = substring(session_user::text FROM '^reader_(.+)$')
""")
