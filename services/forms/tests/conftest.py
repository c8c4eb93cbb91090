"""Two tenants with two teams each, and a form with sections, logic and scoring."""

import pytest
from forms.service import service
from testkit import org_unit, person

TENANT = "t1"


@pytest.fixture
def call_review():
    return {
        "form": "call-review",
        "title": {"en": "Call review", "zh": "通话评估"},
        "kind": "evaluation",
        "about": "agent",
        "schema": {
            "type": "object",
            "required": ["greeting", "complaint", "solution", "empathy"],
            "properties": {
                "greeting": {"type": "string", "enum": ["yes", "partly", "no"]},
                "complaint": {"type": "boolean"},
                "apology": {"type": "string", "enum": ["yes", "no", "na"]},
                "solution": {"type": "integer", "minimum": 1, "maximum": 5},
                "empathy": {"type": "string", "enum": ["yes", "no", "rude"]},
                "extra": {"type": "boolean"},
                "remarks": {"type": "string", "maxLength": 50},
            },
        },
        "ui_schema": {"remarks": {"ui:widget": "textarea"}},
        "sections": [
            {"section": "opening", "title": {"en": "Opening"}, "questions": ["greeting", "complaint", "apology"]},
            {"section": "service", "questions": ["solution", "empathy", "extra", "remarks"]},
        ],
        "logic": {
            "questions": {"apology": {"all": [{"question": "complaint", "value": True}, {"question": "greeting", "op": "answered"}]}}
        },
        "scoring": {
            "sections": {"opening": {"weight": 1}, "service": {"weight": 3}},
            "questions": {
                "greeting": {"points": {"yes": 10, "partly": 5, "no": 0}},
                "apology": {"points": {"yes": 10, "no": 0}, "not_applicable": ["na"]},
                "solution": {"scale": {"worst": 1, "best": 5}, "weight": 3},
                "empathy": {"points": {"yes": 1, "no": 0}, "fail": {"rude": "form"}},
                "extra": {"points": {"true": 1, "false": 0}, "bonus": True, "weight": 1},
            },
        },
    }  # fmt: skip


@pytest.fixture
async def forms(harness_for, mongodb_url):
    h = await harness_for(service, mongodb_url=mongodb_url)
    for tenant in (TENANT, "t2"):
        await h.apply_directory(
            tenant,
            org_units=[org_unit("a"), org_unit("b")],
            people=[
                person("ada", team="a", roles=[("agent", "a")]),
                person("ben", team="b", roles=[("agent", "b")]),
                person("lea", team="a", roles=[("team_lead", "a")]),
                person("quinn", roles=["quality_analyst"]),
                person("quinta", roles=["quality_analyst"]),
                person("adam", roles=["tenant_admin"]),
            ],
        )
    return h


@pytest.fixture
async def published(forms, call_review):
    quinn = forms.client_as("quinn", TENANT)
    assert (await quinn.put("/forms/call-review", json=call_review)).status_code == 200
    assert (await quinn.post("/forms/call-review/publish")).status_code == 200
    await forms.clear_outbox()
    return forms
