"""Due items for workdays that are over and settled."""

from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

from contracts.envelope import AgentEvent
from storage import Session


async def schedule_evaluations(session: Session, settled: Mapping[tuple[UUID, date], datetime]) -> None:
    """Schedules the evaluation of each (agent, workday) at an instant, or moves it there if it is scheduled. It runs
    under the agent's lock. The caller must hold that lock too: otherwise an item that just ran would have missed the
    scores at hand."""
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
