"""How paths and parameters refer to objects: one parameter name for each kind, and one of three rules.

People and org units are referred to by slug or id; both are unique within the tenant. What a tenant configures is referred
to by its name. What has happened is referred to by its id."""

from servicekit.door.field_doc import FieldDoc

SLUG_OR_ID = {"person": ("A person", "ada"), "agent": ("A person", "ada"), "org_unit": ("An org unit", "team-a")}
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
    **{f"?{name}": FieldDoc(f"{what}, by slug or id.", example) for name, (what, example) in SLUG_OR_ID.items()},
    **{
        f"?{name}": FieldDoc(f"The {'KPI' if name == 'kpi' else name}'s name.", example)
        for name, example in NAMES.items()
    },
    **{f"?{name}": FieldDoc(f"The {name.replace('_', ' ')}'s id.") for name in IDS},
}
"""`?` and the parameter's name → its documentation."""
