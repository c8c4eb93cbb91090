"""When workdays are over and their scores have settled."""

from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

from contracts.envelope import AgentEvent
from storage import Session


async def schedule_evaluations(session: Session, settled: Mapping[tuple[UUID, date], datetime]) -> None:
    """Lets the clock judge these agents' workdays at these instants, in the agent's turn; what was to be judged sooner is
    moved. The turns must have been taken: a
    day that is not among the due items any more has been judged without what was just heard."""
    rows = [
        {
            "tenant": session.tenant,
            "ref": f"{agent_id} {workday}",
            "at": at,
            "body": {"agent_id": agent_id, "workday": workday},
            "turn": AgentEvent(agent_id=agent_id).key(session.tenant),
        }
        for (agent_id, workday), at in settled.items()
    ]
    await session.schedule_all("workday-over", rows)
