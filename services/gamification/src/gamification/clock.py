"""The time door: a workday is over."""

from datetime import date
from uuid import UUID

from servicekit import DueItem
from storage import Session

from gamification.actions.improvement import evaluate_workday


async def on_workday_over(session: Session, item: DueItem) -> None:
    agent_id, workday = UUID(item.body["agent_id"]), date.fromisoformat(item.body["workday"])
    await evaluate_workday(session, agent_id, workday)
