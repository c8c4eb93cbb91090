"""Providers, applications and guests are brought about again: what they were given before ADR 14 lets in too many."""

from alembic import op

revision = "2026_11_27_1000_own_providers"
down_revision = "2026_11_23_1000_sign_on"


def upgrade() -> None:
    # Row-level security shows nothing of any tenant to somebody who names none; here it is all of them.
    op.execute("ALTER TABLE provision NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE provision SET state = 'waiting', attempts = 0 WHERE kind IN ('identity_provider', 'application') "
        "OR kind = 'account' AND (wanted ->> 'existing')::boolean"
    )
    op.execute("ALTER TABLE provision FORCE ROW LEVEL SECURITY")
