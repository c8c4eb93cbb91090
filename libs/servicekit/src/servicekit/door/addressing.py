"""How addresses and parameters name things: by one name each, and by one of three rules.

People and org units go by slug or id, whichever is at hand: both are unique within the tenant. What a tenant configures
goes by the name that it gave. What has happened goes by its id."""

from servicekit.door.field_doc import FieldDoc

EITHER = {"person": ("A person", "ada"), "agent": ("A person", "ada"), "org_unit": ("An org unit", "team-a")}
NAMES = {
    "application": "crm",
    "form": "call-review",
    "kpi": "aht",
    "leaderboard": "week",
    "rule": "silence-coach",
    "source": "amazon-connect",
    "template": "silence-basics",
    "tenant": "acme",
    "text": "assignment.assigned",
    "webhook": "crm",
}
IDS = ("assignment", "dead_letter", "delivery", "interaction", "notice", "receipt", "submission")

ADDRESSED: dict[str, FieldDoc] = {
    **{f"?{name}": FieldDoc(f"{what}, by slug or id.", example) for name, (what, example) in EITHER.items()},
    **{
        f"?{name}": FieldDoc(f"The {'KPI' if name == 'kpi' else name}'s name.", example)
        for name, example in NAMES.items()
    },
    **{f"?{name}": FieldDoc(f"The {name.replace('_', ' ')}'s id.") for name in IDS},
}
"""What is said of each, as `?` and its name."""
