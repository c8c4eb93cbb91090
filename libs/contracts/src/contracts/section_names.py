"""How the sections of a tenant call their things: what other sections may name."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast, get_args

from contracts.directory import Role

Names = dict[str, dict[str, list[str] | None]]
"""Names by kind (KPI, template, form …), each with the names inside of it (the bands of a KPI, the questions of a form, the
attributes that a source keeps; None: whatever comes). Of a kind that is not there, nobody knows the names."""

PARENT_KIND = {"band": "KPI", "question": "form", "attribute": "source"}
"""The kinds of names that only mean something inside of another."""

NAME_FIELD = {
    "kpis": "kpi",
    "templates": "template",
    "rules": "rule",
    "leaderboards": "leaderboard",
    "forms": "form",
    "sources": "source",
    "webhooks": "webhook",
    "org_units": "slug",
    "people": "slug",
}
"""The field that holds the name, by the list of a section that holds the things."""

_KINDS = {
    ("identity", "org_units"): "org unit",
    ("ingest", "sources"): "source",
    ("kpi-engine", "kpis"): "KPI",
    ("training", "templates"): "template",
    ("training", "rules"): "training rule",
    ("gamification", "rules"): "points rule",
    ("forms", "forms"): "form",
}
_ADDITIVE_SERVICES = frozenset({"identity", "ingest", "forms"})
"""Services whose sections take nothing away: what one does not name stays as it is."""


def extract_names(service: str, content: Mapping[str, Any]) -> Names:
    """The names that a section brings; of a section that is not as it must be, those that can be seen."""
    found: Names = {}
    for (owner, part), kind in _KINDS.items():
        if owner == service:
            field = NAME_FIELD[part]
            things = [_dict(each) for each in _list(content.get(part))]
            found[kind] = {
                each[field]: _extract_nested_names(kind, each) for each in things if isinstance(each.get(field), str)
            }
    if service == "identity":
        found["role"] = dict.fromkeys(get_args(Role))
    return found


def merge_names(now: Mapping[str, Mapping[str, Any]], sections: Mapping[str, Mapping[str, Any]]) -> Names:
    """The names that a tenant has when `sections` are applied to what it has `now`, both by service. What no service ever
    told of, there is none of."""
    found: Names = {}
    for service in sorted({owner for owner, _ in _KINDS}):
        kept = extract_names(service, now.get(service, {}))
        if service not in sections:
            found |= kept
            continue
        for kind, names in extract_names(service, sections[service]).items():
            found[kind] = {**kept[kind], **names} if service in _ADDITIVE_SERVICES else names
    return found


def iterate_named_items(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each part of a section that holds named things, and these by name. The field of a part that `NAME_FIELD` lacks is the
    part's singular: `item` of `items`."""
    for part, value in content.items():
        field = NAME_FIELD.get(part, part.removesuffix("s"))
        things = [_dict(each) for each in _list(value)]
        if part in NAME_FIELD or (things and all(field in each for each in things)):
            yield part, {str(each.get(field)): each for each in things}
        elif isinstance(value, dict):
            yield part, _dict(cast(Any, value))


def _extract_nested_names(kind: str, thing: Mapping[str, Any]) -> list[str] | None:
    if kind == "KPI":
        return _texts(_dict(each).get("name") for each in _list(_dict(thing.get("bands")).get("edges")))
    if kind == "form":
        questions = _dict(_dict(thing.get("schema")).get("properties"))
        rows = [
            f"{name}.{row}" for name, question in questions.items() for row in _dict(_dict(question).get("properties"))
        ]
        return [*questions, *rows]
    if kind == "source":
        mapping = _dict(thing.get("mapping"))
        keep = (mapping or _dict(thing.get("options"))).get("keep_attributes")
        if mapping:
            mapped = _texts(_dict(mapping.get("attributes")))
            return mapped if keep is None else [name for name in mapped if name in _list(keep)]
        return None if keep is None else _texts(_list(keep))
    return None


def _list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _texts(values: Iterable[Any]) -> list[str]:
    return [each for each in values if isinstance(each, str)]
