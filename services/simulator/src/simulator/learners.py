"""What agents do with their assignments: some at once, some late, some never; answers are mostly right."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from simulator.centre import Centre
from simulator.tenant import TenantClient

KNOWS_THE_ANSWER = 0.88
TRIES_AGAIN_AFTER = timedelta(hours=20)


async def work_on_assignments(tenant: TenantClient, centre: Centre, now: datetime) -> int:
    """Starts what has lain long enough and completes what was started before; gives how many steps were taken."""
    steps = 0
    agents = {agent.slug: agent for agent in centre.agents if agent.login}
    # What was started in this round is completed in the next: learning takes time.
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
            answers = answers_to(content, _rng(centre.seed, assignment))
            steps += await tenant.complete(agent.login, assignment["id"], answers) is not None
    return steps


async def load_finished_days(tenant: TenantClient, centre: Centre) -> dict[str, list[date]]:
    """The days on which agents, by slug, finished a training: what their habits follow from."""
    days: dict[str, list[date]] = {}
    for assignment in await tenant.list_assignments("completed"):
        if assignment["passed"] and assignment["agent"]:
            day = centre.local_day(datetime.fromisoformat(assignment["completed_at"]))
            days.setdefault(assignment["agent"], []).append(day)
    return days


def answers_to(content: Mapping[str, Any], rng: Random) -> dict[str, list[str]]:
    """Answers to a template's quiz by somebody who learned; empty for a reading."""
    answers: dict[str, list[str]] = {}
    for question in (content.get("quiz") or {}).get("questions", []):
        right = [choice["id"] for choice in question["choices"] if choice["correct"]]
        wrong = [choice["id"] for choice in question["choices"] if not choice["correct"]]
        knows = not wrong or rng.random() < KNOWS_THE_ANSWER
        answers[question["id"]] = right if knows else [rng.choice(wrong)]
    return answers


def _ready_at(assignment: Mapping[str, Any]) -> datetime:
    """After each failed attempt another day goes by."""
    return datetime.fromisoformat(assignment["started_at"]) + assignment["attempts"] * TRIES_AGAIN_AFTER


def _rng(seed: int, assignment: Mapping[str, Any]) -> Random:
    # Not by the assignment's id, which is another one in every run.
    day = assignment["assigned_at"][:10]
    return Random(f"{seed}/{assignment['agent']}/{assignment['template']}/{day}/{assignment['attempts']}")  # noqa: S311
