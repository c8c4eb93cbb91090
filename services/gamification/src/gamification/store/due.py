"""When workdays are over."""

from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

from contracts.envelope import AgentEvent
from pydantic_core import to_json
from storage import Session


async def when_over(session: Session, ends: Mapping[tuple[UUID, date], datetime]) -> None:
    """Lets the clock judge these agents' workdays at their ends, in the agent's turn. The turns must have been taken: a
    day that is not among the due items any more has been judged without what was just heard."""
    rows = [
        {
            "ref": f"{agent_id} {workday}",
            "at": at,
            "body": {"agent_id": agent_id, "workday": workday},
            "turn": AgentEvent(agent_id=agent_id).key(session.tenant),
        }
        for (agent_id, workday), at in ends.items()
    ]
    await session.execute(
        "INSERT INTO due_item (tenant, kind, ref, at, body, attempts, turn) "
        "SELECT :tenant, 'workday-over', ref, at, body, 0, turn "
        "FROM json_to_recordset(cast(:rows AS json)) AS r(ref text, at timestamptz, body jsonb, turn text) "
        "ON CONFLICT (tenant, kind, ref) DO UPDATE SET at = excluded.at, body = excluded.body, "
        "attempts = excluded.attempts, turn = excluded.turn "
        "WHERE (due_item.at, due_item.attempts) IS DISTINCT FROM (excluded.at, excluded.attempts)",
        {"tenant": session.tenant, "rows": to_json(rows).decode()},
    )
