"""The first tables. The ledger refuses to be changed, whoever asks."""

from alembic import op
from gamification.store.tables import tables
from storage import create_own_tables, create_tables

revision = "2026_11_23_0900_first"
down_revision = None


def upgrade() -> None:
    create_own_tables(op)
    create_tables(op, tables)
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'the ledger is append-only: book a reversal instead' "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
