"""A service at its doors with two teams, and the words to tell it of bands and scores."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pytest
from contracts import new_id
from contracts.assignments import AssignmentCompleted
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandLeft, Score, ScoreChanged
from gamification.service import service
from testkit import Harness, org_unit, parse_instant, person, person_id, tenant

LEFT = {
    "kind": "band_left", "rule": "left-coach", "title": {"en": "Left the coaching band", "zh": "离开辅导区间"},
    "kpi": "silence_pct", "from_bands": ["coach", "critical"], "points": 100,
}  # fmt: skip
TRAINED = {"kind": "training_completed", "rule": "trained", "title": {"en": "Training done"}, "points": 20}
BETTER = {
    "kind": "improvement", "rule": "better", "title": {"en": "Better than before"}, "kpi": "silence_pct",
    "points": 10, "min_improvement": 10, "baseline_days": 2, "min_sample": 5,
}  # fmt: skip
BOARD = {"leaderboard": "week", "title": {"en": "This week"}, "period": "week"}


@dataclass
class Game:
    """Tenant `acme`: ada and ben in team-a under lea, cem in team-b, ann the admin."""

    LEFT = LEFT
    TRAINED = TRAINED
    BETTER = BETTER
    BOARD = BOARD

    h: Harness
    now: datetime = field(default_factory=lambda: parse_instant("2026-03-18T08:00Z"))
    blueprint_version: int = 0

    async def people(self, slug: str, **of_tenant: Any) -> None:
        await self.h.apply_directory(
            slug,
            of_tenant=tenant(slug, **of_tenant),
            org_units=[org_unit("team-a"), org_unit("team-b")],
            people=[
                person("ada", team="team-a"),
                person("ben", team="team-a"),
                person("cem", team="team-b"),
                person("dan", team="team-b"),
                person("lea", roles=[("team_lead", "team-a")]),
                person("ann", roles=["tenant_admin"]),
            ],
        )

    async def blueprint(
        self, *rules: dict[str, Any], boards: tuple[dict[str, Any], ...] = (BOARD,), tenant: str = "acme"
    ) -> None:
        self.blueprint_version += 1
        section = {"rules": list(rules), "leaderboards": list(boards)}
        body = BlueprintPublished(version=self.blueprint_version, sections={"gamification": section})
        await self.h.deliver(body, tenant=tenant, at=self.now)

    async def leave(self, who: str, *, tenant: str = "acme", ids: Any = None, **fields: Any) -> BandLeft:
        values: dict[str, Any] = {
            "agent_id": person_id(who), "band_event_id": new_id(), "kpi": "silence_pct", "model_version": 1,
            "band": "coach", "rank": 2, "at_window": "2026-03-18", "to_band": "watch", "to_rank": 1,
        }  # fmt: skip
        body = BandLeft(**values | fields)
        await self.h.deliver(body, tenant=tenant, at=self.now, ids=ids)
        return body

    async def correct(
        self,
        stay: BandLeft,
        retracts: Literal["entered", "left"],
        *,
        tenant: str = "acme",
        ids: Any = None,
        **fields: Any,
    ) -> None:
        values = stay.model_dump(exclude={"to_band", "to_rank"}) | fields
        body = BandCorrected(**values, retracts=retracts, reason="a corrected call")
        await self.h.deliver(body, tenant=tenant, at=self.now, ids=ids)

    async def complete(self, who: str, template: str = "silence", **fields: Any) -> None:
        values: dict[str, Any] = {
            "agent_id": person_id(who), "assignment_id": new_id(), "template": template, "template_version": 1,
            "title": {"en": "T"}, "passed": True,
        }  # fmt: skip
        await self.h.deliver(AssignmentCompleted(**values | fields), tenant="acme", at=self.now)

    async def score(
        self,
        who: str | UUID,
        day: str | date,
        numerator: int,
        denominator: int = 100,
        *,
        tenant: str = "acme",
        **fields: Any,
    ) -> None:
        """Silence in percent on one day: 100 * numerator / denominator; `settled`: and nothing more comes for a minute."""
        over: dict[str, Any] = {"sample": 10, "model_version": 1, "direction": "lower_is_better"}
        over |= {name: fields.pop(name) for name in list(fields) if name in over}
        value = None if not denominator else f"{100 * numerator / denominator:.4f}"
        score = Score(value=value, numerator=str(100 * numerator), denominator=str(denominator), **over)
        agent = who if isinstance(who, UUID) else person_id(who)
        workday = date.fromisoformat(day) if isinstance(day, str) else day
        body = ScoreChanged(
            agent_id=agent, workday=workday, mode=fields.pop("mode", "live"), scores={"silence_pct": score}
        )
        when = fields.pop("at", self.now)
        await self.h.deliver(body, tenant=tenant, at=when, twice=fields.pop("twice", True))
        if fields.pop("settled", True):
            await self.h.tick(when + timedelta(minutes=1))

    async def get(self, who: str, path: str, tenant: str = "acme", status: int = 200, **query: Any) -> Any:
        answer = await self.h.client_as(who, tenant).get(path, params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def ledger(self, who: str = "ann", tenant: str = "acme", **query: Any) -> list[tuple[str, str, int]]:
        """(agent, rule, points), oldest first."""
        items = (await self.get(who, "/ledger", tenant, **query))["items"]
        return [(each["agent"], each["rule"], each["points"]) for each in reversed(items)]

    async def balance(self, who: str, tenant: str = "acme") -> int:
        return (await self.get("ann", "/balance", tenant, agent=who))["balance"]


@pytest.fixture
async def game(harness_for) -> Game:
    made = Game(await harness_for(service))
    await made.people("acme", simulated=True, clock=made.now)
    return made
