"""The names that the things of a section have, and by which other sections may refer to them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast, get_args

from contracts.directory import Role

Names = dict[str, dict[str, list[str] | None]]
"""Names by kind (KPI, template, form …). Each name has the names within it: the bands of a KPI, the questions of a form, the
attributes that a source stores, where None means that it stores all. The names of a kind that is missing are not known."""

PARENT_KIND = {"band": "KPI", "question": "form", "attribute": "source"}
"""The kinds whose names belong to a thing of another kind, and that kind."""

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
"""The field that holds a thing's name, by the list of the section that the thing is in."""

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
"""Services whose sections delete nothing: a thing that the section does not name stays as it is."""


def extract_names(service: str, content: Mapping[str, Any]) -> Names:
    """The names of the things in a section. Parts that do not have the expected shape are passed over."""
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
    """The names that a tenant has once `sections` are applied to its sections of `now`, both by service. A service without a
    section in either has no names."""
    merged: Names = {}
    for service in sorted({owner for owner, _ in _KINDS}):
        current = extract_names(service, now.get(service, {}))
        if service not in sections:
            merged |= current
            continue
        for kind, names in extract_names(service, sections[service]).items():
            merged[kind] = {**current[kind], **names} if service in _ADDITIVE_SERVICES else names
    return merged


def iterate_named_items(content: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each part of a section that holds named things, with its things by name. Where `NAME_FIELD` does not have the part, the
    name's field is the singular of the part's name: `item` of `items`."""
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
