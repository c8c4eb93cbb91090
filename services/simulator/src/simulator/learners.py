"""How agents work on their assignments: at once, late, or never. Most of their answers are correct."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from simulator.centre import Centre
from simulator.tenant import TenantClient

CORRECT_ANSWER_SHARE = 0.88
RETRY_DELAY = timedelta(hours=20)


async def work_on_assignments(tenant: TenantClient, centre: Centre, now: datetime) -> int:
    """Starts assignments that have waited long enough and completes those started before. Returns the number of both."""
    steps = 0
    agents = {agent.slug: agent for agent in centre.agents if agent.login}
    # An assignment started in this round is completed in a later one.
    waiting = [*await tenant.list_assignments("started"), *await tenant.list_assignments("assigned")]
    for assignment in waiting:
        agent = agents.get(assignment["agent"])
        if agent is None or agent.diligence is None:
            continue
        if assignment["status"] == "assigned":
            hours = agent.diligence * _rng(centre.seed, assignment).uniform(0.3, 1.8)
            if now >= datetime.fromisoformat(assignment["assigned_at"]) + timedelta(hours=hours):
                steps += await tenant.start(agent.login, assignment["id"]) is not None
        elif now > _ready_at(assignment):
            content = await tenant.load_content(assignment["template"], assignment["template_version"])
            answers = draw_answers(content, _rng(centre.seed, assignment))
            steps += await tenant.complete(agent.login, assignment["id"], answers) is not None
    return steps


async def load_finished_days(tenant: TenantClient, centre: Centre) -> dict[str, list[date]]:
    """The days on which agents passed trainings, by slug. Habits follow from them."""
    days: dict[str, list[date]] = {}
    for assignment in await tenant.list_assignments("completed"):
        if assignment["passed"] and assignment["agent"]:
            day = centre.calendar_day(datetime.fromisoformat(assignment["completed_at"]))
            days.setdefault(assignment["agent"], []).append(day)
    return days


def draw_answers(content: Mapping[str, Any], rng: Random) -> dict[str, list[str]]:
    """The answers of somebody who has learned the content: choice ids by question id, empty when it has no quiz."""
    answers: dict[str, list[str]] = {}
    for question in (content.get("quiz") or {}).get("questions", []):
        correct = [choice["id"] for choice in question["choices"] if choice["correct"]]
        wrong = [choice["id"] for choice in question["choices"] if not choice["correct"]]
        knows = not wrong or rng.random() < CORRECT_ANSWER_SHARE
        answers[question["id"]] = correct if knows else [rng.choice(wrong)]
    return answers


def _ready_at(assignment: Mapping[str, Any]) -> datetime:
    """The earliest time of the next attempt: `RETRY_DELAY` passes after each failed one."""
    return datetime.fromisoformat(assignment["started_at"]) + assignment["attempts"] * RETRY_DELAY


def _rng(seed: int, assignment: Mapping[str, Any]) -> Random:
    # The assignment's id is no part of the seed, because it differs in every run.
    day = assignment["assigned_at"][:10]
    return Random(f"{seed}/{assignment['agent']}/{assignment['template']}/{day}/{assignment['attempts']}")  # noqa: S311
