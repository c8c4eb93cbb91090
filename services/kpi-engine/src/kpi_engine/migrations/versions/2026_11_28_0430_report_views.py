"""Report views for a tenant's reader of the database, in place of rights on the tables (ADR 37)."""

from alembic import op

revision = "2026_11_28_0430_report_views"
down_revision = "2026_11_27_2210_stayed"


def upgrade() -> None:
    op.execute("""
CREATE VIEW report_leg WITH (security_barrier = true) AS
SELECT tenant, id AS interaction_id, leg, agent_id, workday, started_at, ended_at, channel,
    direction, talk_ms, hold_ms, acw_ms, handle_ms, conversation_ms, silence_vendor_ms
FROM fact WHERE tenant = substring(session_user::text FROM '^reader_(.+)$') AND kind = 'legs' AND NOT void
""")
    op.execute("""
CREATE VIEW report_band_stay WITH (security_barrier = true) AS
SELECT tenant, id, kpi, agent_id, band, entered AS entered_window, "left" AS left_window
FROM band_stay WHERE tenant = substring(session_user::text FROM '^reader_(.+)$') AND retracted_at IS NULL
""")
