"""`uplift trace` against an API that answers from a table."""

import json
from typing import Any

import httpx
import pytest
from all_in_one.commands import trace as command
from all_in_one.commands.tracing import format_trace, trace_contact
from all_in_one.main import app
from typer.testing import CliRunner

INTERACTION = "0197c0de-0000-7000-8000-000000000100"
AGENT = "0197c0de-0000-7000-8000-000000000001"
RECEIPT = "0197c0de-0000-7000-8000-000000000200"
BAND_EVENT = "0197c0de-0000-7000-8000-000000000300"
GIVEN, REPEATED, UNRELATED = (f"0197c0de-0000-7000-8000-00000000040{n}" for n in range(3))
LETTER = "0197c0de-0000-7000-8000-000000000500"
DAY = "2026-03-02"
LEG = {
    "interaction_id": INTERACTION, "leg": 1, "version": 2, "void": False, "agent_id": AGENT, "held": None,
    "agent_external_id": "ada", "workday": DAY, "handle_ms": 290000,
}  # fmt: skip


def page(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "next": None}


def record(contact: str, verdict: str, line: int, reason: str | None = None) -> dict[str, Any]:
    return {
        "line": line, "contact": contact, "verdict": verdict, "kind": "contact", "field": None, "reason": reason,
    }  # fmt: skip


def assignment(id: str, **values: Any) -> dict[str, Any]:
    given = {"kpi": "silence_pct", "follows": None, "band_event_id": None, "status": "assigned", "template": "listen"}
    return {"id": id, "assigned_at": f"{DAY}T12:00:00Z", **given, **values}


def explained(leg: int, **values: Any) -> dict[str, Any]:
    return {"id": INTERACTION, "leg": leg, "version": 2, "counts": True, "why_not": [], **values}


@pytest.fixture
def answers() -> dict[str, Any]:
    """Answers by path. A path that is missing is answered 404; None is 403."""
    whole = {
        "id": INTERACTION, "source": "pbx", "external_id": "c-1", "partial": False, "legs": [LEG],
        "held": [{"contact": "c-2", "reason": "open_interaction", "waits_for": ["the end of c-2"]}],
        "versions": [{"known_at": "2026-03-02T09:00:00Z", "receipt": RECEIPT, "content": {**LEG, "version": n}} for n in (2, 1)],
        "parts": [{"contact": "c-1", "kind": "contact", "stamped_at": None, "receipt": RECEIPT}],
    }  # fmt: skip
    value = {"value": "52.5", "reason": None, "sample": 3}
    letter = {"id": LETTER, "topic": "legs", "error": "ValueError: 7", "buried_at": "2026-03-02T10:00:00Z"}
    band = {"kpi": "silence_pct", "band": "coach", "at_window": "2026-W10", "band_event_id": BAND_EVENT}
    table = {
        "ingest/v1/interactions": page({"id": INTERACTION}),
        f"ingest/v1/interactions/{INTERACTION}": whole,
        f"ingest/v1/receipts/{RECEIPT}": {"status": "done", "mode": "live", "received_at": "2026-03-02T09:00:00Z"},
        f"ingest/v1/receipts/{RECEIPT}/records": page(
            record("c-1", "corrected", 4), record("c-9", "accepted", 5), record("c-1", "rejected", 6, "negative")
        ),
        "kpi-engine/v1/kpis": page({"kpi": "silence_pct"}, {"kpi": "aht"}, {"kpi": "quality"}),
        "kpi-engine/v1/kpis/silence_pct/explain": {
            "agent": "ada", "unit": "percent", "answer": value,
            "items": [explained(2), explained(1, contribution={"silence": "170000"})],
        },
        "kpi-engine/v1/kpis/aht/explain": {
            "agent": "ada", "unit": "ms", "answer": {"value": None, "reason": "no_sample", "sample": 0},
            "items": [explained(1, counts=False, why_not=["`answered` does not hold"], contribution={})],
        },
        "kpi-engine/v1/kpis/quality/explain": {"agent": "ada", "unit": "percent", "answer": value, "items": []},
        "kpi-engine/v1/bands": page(
            {**band, "evidence": [{"window": "2026-W10"}]},
            {**band, "evidence": [{"window": "2026-W11"}], "band_event_id": "later"},
        ),
        "training/v1/assignments": page(
            assignment(REPEATED, follows=GIVEN, assigned_at="2026-03-09T12:00:00Z"),
            assignment(GIVEN, band_event_id=BAND_EVENT),
            assignment(UNRELATED, band_event_id="another"),
            assignment("before", band_event_id=BAND_EVENT, assigned_at="2026-02-01T00:00:00Z"),
        ),
        f"training/v1/assignments/{UNRELATED}": {"evidence": {"windows": [{"window": "2026-W09"}]}},
        "gamification/v1/ledger": page(
            *({"rule": "r", "points": 5, "at": DAY, "cause": cause} for cause in (f"silence_pct {DAY}", REPEATED, "other"))
        ),
        "kpi-engine/v1/dead-letters": page(
            {**letter, "key": "demo|x", "value": json.dumps({"interaction_id": INTERACTION})},
            {**letter, "key": "demo|x", "value": None},
        ),
        "training/v1/dead-letters": None,
    }  # fmt: skip
    behind = {f"{name}/v1/behind": {"events": 0, "seconds": 0.0} for name in ("ingest", "kpi-engine")}
    return behind | table


@pytest.fixture
def client(answers: dict[str, Any]) -> httpx.Client:
    def respond(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/")
        if path not in answers:
            return httpx.Response(404, json={})
        return httpx.Response(403 if answers[path] is None else 200, json=answers[path] or {})

    return httpx.Client(base_url="http://uplift.test", transport=httpx.MockTransport(respond))


def test_a_contact_is_followed_to_the_points(client: httpx.Client) -> None:
    found = trace_contact(client, "c-1")
    assert found
    (interaction,) = found["interactions"]
    (receipt,) = interaction["receipts"]
    assert [each["verdict"] for each in receipt["records"]] == ["corrected", "rejected"]
    (effects,) = interaction["effects"]
    assert [(each["kpi"], each["counts"], each["value"]) for each in effects["values"]] == [
        ("silence_pct", True, "52.5"),
        ("aht", False, None),
    ]
    assert [each["band_event_id"] for each in effects["bands"]] == [BAND_EVENT]
    assert [each["id"] for each in effects["assignments"]] == [GIVEN, REPEATED]
    assert [each["cause"] for each in effects["points"]] == [f"silence_pct {DAY}", REPEATED]
    assert [(each["service"], each["id"]) for each in found["dead_letters"]] == [("kpi-engine", LETTER)]
    assert found["notes"] == ["not shown, since this user may not read it: training/v1/dead-letters"]


def test_lines_say_why(client: httpx.Client, answers: dict[str, Any]) -> None:
    answers["ingest/v1/behind"] = {"events": 1200, "seconds": 41.7}
    found = trace_contact(client, "c-1")
    assert found
    text = "\n".join(format_trace(found))
    for line in (
        "interaction " + INTERACTION + ": c-1 of pbx",
        "line 6, contact of c-1: rejected: negative",
        "held: c-2: open_interaction, waits for the end of c-2",
        "leg 1 version 1, known at 2026-03-02T09:00:00Z: ada, workday 2026-03-02, handle_ms 290000",
        "silence_pct of ada: 52.5, sample 3",
        "version 2 contributes silence 170000",
        "aht of ada: unknown (no_sample), sample 0",
        "version 2 does not count: `answered` does not hold",
        "+5 points by r",
        "ingest is behind: 1,200 events, 42 s",
        f"replay: uplift dead-letters replay kpi-engine {LETTER}",
    ):
        assert line in text, text
    assert text.index("version 1") < text.index("version 2")


@pytest.mark.parametrize("identifier", [INTERACTION, f"{INTERACTION}/1"])
def test_it_takes_the_id_of_an_interaction_or_a_leg(
    client: httpx.Client, answers: dict[str, Any], identifier: str
) -> None:
    answers["ingest/v1/interactions"] = page()
    found = trace_contact(client, identifier)
    assert found
    assert [each["leg"] for each in found["interactions"][0]["effects"]] == [1]


def test_another_leg_has_no_effects_of_this_one(client: httpx.Client, answers: dict[str, Any]) -> None:
    answers["ingest/v1/interactions"] = page()
    found = trace_contact(client, f"{INTERACTION}/2")
    assert found
    assert (found["interactions"][0]["legs"], found["interactions"][0]["effects"]) == ([], [])


def test_the_command_prints_json_or_says_that_nothing_is_known(
    client: httpx.Client, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "connect", lambda *_, **__: client)
    printed = CliRunner().invoke(app, ["trace", "c-1", "--json"])
    assert (printed.exit_code, json.loads(printed.stdout)["interactions"][0]["external_id"]) == (0, "c-1")


def test_an_unknown_contact_is_exit_status_1(
    client: httpx.Client, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers["ingest/v1/interactions"] = page()
    monkeypatch.setattr(command, "connect", lambda *_, **__: client)
    printed = CliRunner().invoke(app, ["trace", "c-404"])
    assert (printed.exit_code, "Nothing is known of `c-404`" in printed.stderr) == (1, True)
