"""A small installation in memory that answers what the driver asks, and remembers in which order."""

import gzip
import json
from collections import Counter
from datetime import datetime
from typing import Any

import httpx
from simulator import FIRST_DAY_ATTRIBUTE, Access, TenantClient

QUIZ = {
    "kind": "quiz",
    "quiz": {
        "questions": [
            {"id": f"q{number}", "choices": [{"id": "right", "correct": True}, {"id": "wrong", "correct": False}]}
            for number in range(5)
        ]
    },
}


class FakeTenant:
    """`assign` gives an assignment; `fail_on` makes the nth post of records answer 500 and take nothing in."""

    def __init__(self, clock: datetime, opened: str) -> None:
        self.clock = clock
        self.opened = opened
        self.log: list[str] = []
        self.clocks: list[datetime] = [clock]
        self.posts: list[list[bytes]] = []
        self.assignments: dict[str, dict[str, Any]] = {}
        self.answered: list[tuple[str, dict[str, list[str]]]] = []
        self.signed_in: Counter[str] = Counter()
        self.lags: list[int] = []
        self.fail_on: int | None = None
        self.valid: set[str] = set()
        self.attempts = 0

    def tenant(self) -> TenantClient:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer), base_url="http://uplift.test")
        return TenantClient(Access(client, "demo", "phone-system", "machine-secret", "people-secret"), poll_seconds=0)

    def assign(self, agent: str, at: datetime, template: str = "reading", status: str = "assigned") -> dict[str, Any]:
        name = f"{agent}-{template}-{len(self.assignments)}"
        self.assignments[name] = {
            "id": name,
            "agent": agent,
            "template": template,
            "template_version": 1,
            "status": status,
            "assigned_at": at.isoformat(),
            "started_at": None,
            "completed_at": None,
            "attempts": 0,
            "passed": None,
        }
        return self.assignments[name]

    @property
    def taken_in(self) -> set[bytes]:
        return {record for post in self.posts for record in post}

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path, request.content
        if path == "/oidc/token":
            return self._token(dict(httpx.QueryParams(body.decode())))
        caller = request.headers["Authorization"].removeprefix("Bearer ")
        if caller not in self.valid:
            return httpx.Response(401, json={"type": "unauthenticated"})
        caller = caller.partition("#")[0]
        if path == "/api/identity/v1/me":
            assert caller == "client"
            return httpx.Response(
                200, json={"person": {"attributes": [{"name": FIRST_DAY_ATTRIBUTE, "value": self.opened}]}}
            )
        if path == "/api/identity/v1/tenants/demo":
            return httpx.Response(200, json={"simulated": True, "clock": self.clock.isoformat()})
        if path == "/lag":
            self.log.append("lag")
            return httpx.Response(200, json={"ingest": {"outbox": 0, "directory": self.lags.pop() if self.lags else 0}})
        if path == "/api/identity/v1/tenants/demo/clock":
            assert caller == "admin"
            now = datetime.fromisoformat(json.loads(body)["now"])
            assert now >= self.clock
            self.clock = now
            self.clocks.append(now)
            self.log.append("clock")
            return httpx.Response(200, json={})
        if path == "/api/ingest/v1/sources/amazon-connect/records":
            assert caller == "client"
            return self._records(request)
        if path == "/api/training/v1/assignments":
            assert caller == "admin"
            self.log.append(f"list {request.url.params['status']}")
            return self._page(request.url.params)
        if path.startswith("/api/training/v1/templates/"):
            assert caller == "admin"
            return httpx.Response(200, json={"content": QUIZ if "quiz" in path else {"kind": "reading", "quiz": None}})
        *_, name, step = path.split("/")
        return self._learn(caller, name, step, body)

    def _token(self, form: dict[str, str]) -> httpx.Response:
        if form["grant_type"] == "client_credentials":
            assert (form["client_id"], form["client_secret"]) == ("phone-system", "machine-secret")
            name = "client"
        else:
            assert (form["grant_type"], form["client_id"], form["password"]) == (
                "password",
                "uplift-cli",
                "people-secret",
            )
            name = form["username"]
        self.signed_in[name] += 1
        token = f"{name}#{self.signed_in[name]}"
        self.valid.add(token)
        return httpx.Response(200, json={"access_token": token, "expires_in": 300})

    def _records(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Content-Encoding"] == "gzip"
        assert request.headers["Content-Type"] == "application/x-ndjson"
        self.attempts += 1
        self.log.append("records")
        if self.attempts == self.fail_on:
            return httpx.Response(500, json={"title": "killed"})
        lines = gzip.decompress(request.content).splitlines(keepends=True)
        self.posts.append(lines)
        return httpx.Response(200, json={"id": "r", "received": len(lines), "rejected": 0})

    def _page(self, params: httpx.QueryParams) -> httpx.Response:
        found = [each for each in self.assignments.values() if each["status"] == params["status"]]
        begin = int(params.get("after", "0"))
        # Pages of two, however many are asked for.
        rest = str(begin + 2) if len(found) > begin + 2 else None
        return httpx.Response(200, json={"items": found[begin : begin + 2], "next": rest})

    def _learn(self, caller: str, name: str, step: str, body: bytes) -> httpx.Response:
        self.log.append(f"{step} {name} by {caller}")
        each = self.assignments[name]
        if each["status"] == "withdrawn":
            return httpx.Response(409, json={"type": "withdrawn"})
        if step == "start":
            each |= {"status": "started", "started_at": self.clock.isoformat()}
            return httpx.Response(200, json=each)
        answers = json.loads(body)["answers"]
        self.answered.append((name, answers))
        right = sum(chosen == ["right"] for chosen in answers.values())
        each["attempts"] += bool(answers)
        if not answers or right >= 4:
            each |= {"status": "completed", "completed_at": self.clock.isoformat(), "passed": True}
        return httpx.Response(200, json=each)
