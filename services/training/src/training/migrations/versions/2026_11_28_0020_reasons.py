"""Why something was withdrawn has a code, beside the sentence that logs have."""

from alembic import op

revision = "2026_11_28_0020_reasons"
down_revision = "2026_11_27_2210_occasions"


def upgrade() -> None:
    # Its owner sees the rows of all tenants only while row-level security is not forced on it, too.
    op.execute("ALTER TABLE assignment NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "ALTER TABLE assignment ADD COLUMN IF NOT EXISTS withdrawn_code text, "
        "ADD COLUMN IF NOT EXISTS withdrawn_values jsonb"
    )
    op.execute(
        "UPDATE assignment SET withdrawn_values = '{}', withdrawn_code = CASE withdrawn_reason "
        "WHEN 'it was taken back by hand' THEN 'by_hand' "
        "WHEN 'the band was left before the training was started' THEN 'band_left' "
        "WHEN 'there are no longer as many windows in the band' THEN 'stayed_no_longer' ELSE 'band_corrected' END "
        "WHERE withdrawn_reason IS NOT NULL AND withdrawn_code IS NULL"
    )
    op.execute("ALTER TABLE assignment FORCE ROW LEVEL SECURITY")
