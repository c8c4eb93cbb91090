"""A service at its doors with two teams, and the words to tell it of bands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import pytest
from contracts import new_id
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed, Window
from testkit import Harness, org_unit, parse_instant, person, person_id, tenant
from training.service import service

READING = {
    "kind": "reading",
    "title": {"en": "Fewer silences", "zh": "减少静默"},
    "body": {"en": "Say what you **do**.", "zh": "说出你在**做**什么。"},
}
QUIZ = {
    "kind": "quiz",
    "title": {"en": "Silence quiz"},
    "body": {"en": "Three questions."},
    "quiz": {
        "pass_percent": 80,
        "max_attempts": 2,
        "questions": [
            {
                "id": "hold",
                "kind": "single",
                "text": {"en": "Before a search?", "zh": "搜索之前？"},
                "points": 4,
                "choices": [
                    {"id": "announce", "text": {"en": "Announce it", "zh": "先说明"}, "correct": True},
                    {"id": "wait", "text": {"en": "Wait", "zh": "等待"}},
                ],
            },
            {
                "id": "fill",
                "kind": "multi",
                "text": {"en": "What fills a pause?"},
                "points": 1,
                "choices": [
                    {"id": "ask", "text": {"en": "A question"}, "correct": True},
                    {"id": "sum", "text": {"en": "A summary"}, "correct": True},
                    {"id": "hum", "text": {"en": "Humming"}},
                ],
            },
        ],
    },
}
RIGHT = {"hold": ["announce"], "fill": ["sum", "ask"]}
WRONG = {"hold": ["wait"], "fill": ["ask", "sum"]}


def rule(name: str = "silence-coach", **fields: Any) -> dict[str, Any]:
    return {"rule": name, "kpi": "silence_pct", "band": "coach", "template": "silence-basics", "due_days": 7, **fields}


@dataclass
class Training:
    """Tenant `acme`: ada and ben in team-a under lea, cem in team-b, tom the trainer, ann the admin."""

    READING = READING
    QUIZ = QUIZ
    RIGHT = RIGHT
    WRONG = WRONG
    rule = staticmethod(rule)

    h: Harness
    now: datetime = field(default_factory=lambda: parse_instant("2026-03-04T08:00Z"))
    blueprint_version: int = 0

    async def people(self, slug: str, **of_tenant: Any) -> None:
        await self.h.apply_directory(
            slug,
            of_tenant=tenant(slug, **of_tenant),
            org_units=[org_unit("team-a"), org_unit("team-b")],
            people=[
                person("ada", team="team-a", language="zh"),
                person("ben", team="team-a"),
                person("cem", team="team-b"),
                person("lea", roles=[("team_lead", "team-a")]),
                person("tom", roles=["trainer"]),
                person("ann", roles=["tenant_admin"]),
            ],
        )

    async def blueprint(
        self, *rules: dict[str, Any], tenant: str = "acme", templates: list[dict[str, Any]] | None = None
    ) -> None:
        self.blueprint_version += 1
        templates = templates or [
            {"template": "silence-basics", **READING},
            {"template": "silence-quiz", **QUIZ},
        ]
        section = {"templates": templates, "rules": list(rules)}
        body = BlueprintPublished(version=self.blueprint_version, sections={"training": section, "forms": {}})
        await self.h.deliver(body, tenant=tenant, at=self.now)

    async def enter(self, who: str, day: str = "2026-03-04", *, tenant: str = "acme", **fields: Any) -> BandEntered:
        values: dict[str, Any] = {
            "agent_id": person_id(who), "band_event_id": new_id(), "kpi": "silence_pct", "model_version": 3,
            "band": "coach", "rank": 2, "at_window": day, "from_band": "watch", "from_rank": 1,
            "evidence": [Window(window=day, value="65.3846", sample=25, band="coach")],
        }  # fmt: skip
        body = BandEntered(**values | fields)
        await self.h.deliver(body, tenant=tenant, at=self.now)
        return body

    async def stay(
        self, stay: BandEntered, *days: str, version: int, withdrawn: Sequence[str] = (), **fields: Any
    ) -> None:
        """In one event: the stay goes on in these windows, and not in the withdrawn ones."""
        evidence = [Window(window=day, value="66", sample=20, band="coach") for day in days]
        common = stay.model_dump(exclude={"from_band", "from_rank", "evidence", "version", "at_window"})
        at_window = [*days, *withdrawn][-1]
        body = BandStayed(
            **common | fields, evidence=evidence, withdrawn=list(withdrawn), version=version, at_window=at_window
        )
        await self.h.deliver(body, tenant="acme", at=self.now)

    async def leave(self, stay: BandEntered, day: str = "2026-03-18", *, tenant: str = "acme", **fields: Any) -> None:
        values: dict[str, Any] = stay.model_dump(exclude={"from_band", "from_rank"})
        values |= {"at_window": day, "to_band": "watch"}
        await self.h.deliver(BandLeft(**values | fields), tenant=tenant, at=self.now)

    async def correct(
        self, stay: BandEntered, retracts: Literal["entered", "left"], *, tenant: str = "acme", **fields: Any
    ) -> None:
        values = stay.model_dump(exclude={"from_band", "from_rank"}) | fields
        body = BandCorrected(**values, retracts=retracts, reason="a corrected call")
        await self.h.deliver(body, tenant=tenant, at=self.now)

    async def assignments(self, who: str = "tom", tenant: str = "acme", **query: Any) -> list[dict[str, Any]]:
        answer = await self.h.client_as(who, tenant).get("/assignments", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    async def only(self, **query: Any) -> dict[str, Any]:
        (found,) = await self.assignments(**query)
        return found

    async def post(self, who: str, path: str, json: Any = None, status: int = 200, tenant: str = "acme") -> Any:
        answer = await self.h.client_as(who, tenant).post(path, json=json)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def finish(self, who: str, assignment: UUID | str, answers: Any = None) -> Any:
        await self.post(who, f"/assignments/{assignment}/start")
        return await self.post(who, f"/assignments/{assignment}/complete", {"answers": answers or {}})


@pytest.fixture
async def training(harness_for, mongodb_url) -> Training:
    made = Training(await harness_for(service, mongodb_url=mongodb_url))
    await made.people("acme", simulated=True, clock=made.now)
    return made
