"""The due item in which the recorded feature flags are kept."""

from storage import Session

_INSERT = """
INSERT INTO due_item (tenant, kind, ref, at, body, attempts) VALUES (:tenant, :kind, :ref, :at, '{}', 0)
ON CONFLICT (tenant, kind, ref) DO NOTHING
"""


async def insert_item(session: Session, kind: str, ref: str) -> None:
    """Adds a due item without a body, due now. One that is there stays as it is, with its body."""
    await session.run(_INSERT, {"tenant": session.tenant, "kind": kind, "ref": ref, "at": session.now})
