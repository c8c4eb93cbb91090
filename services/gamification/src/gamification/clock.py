"""The clock door: workdays that are over and settled."""

from datetime import date
from uuid import UUID

from servicekit import DueItem
from storage import Session

from gamification.actions.improvement import evaluate_workday


async def on_workday_over(session: Session, item: DueItem) -> None:
    """Evaluates one agent's workday; the item's body names `agent_id` and `workday`."""
    agent_id, workday = UUID(item.body["agent_id"]), date.fromisoformat(item.body["workday"])
    await evaluate_workday(session, agent_id, workday)
