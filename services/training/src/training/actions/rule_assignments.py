"""A rule gives its training, or says why not; what every event about an assignment says."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from contracts import new_id
from contracts.assignments import AssignmentAssigned
from storage import Session

from training.model.assignment_changes import AssignmentChanges, Row
from training.model.rules import Rule, compute_due_at, find_skip_reason

TemplateHeads = Mapping[str, Mapping[str, Any]]
"""Templates that there are, by slug."""


def event_fields(row: dict[str, Any]) -> dict[str, Any]:
    """What every event about an assignment says. `row` as the store gives it, with `title`."""
    names = (
        "agent_id",
        "template",
        "template_version",
        "title",
        "rule",
        "kpi",
        "band",
        "band_event_id",
        "due_at",
        "version",
    )
    titles = {name: given for name, given in find_titles(row).items() if given}
    return {"assignment_id": row["id"], **titles, **find_origin(row)} | {name: row.get(name) for name in names}


def find_titles(row: dict[str, Any]) -> dict[str, dict[str, str] | None]:
    """What the rule, the KPI and the band were called when the training was given; None where nobody said it."""
    evidence = row.get("evidence") or {}
    rule_title = (evidence.get("rule") or {}).get("title")
    return {"rule_title": rule_title, **{name: evidence.get(name) for name in ("kpi_title", "band_title")}}


def find_origin(row: dict[str, Any]) -> dict[str, str | None]:
    """What made a rule give it, and the assignment that it follows on; None on one given by hand."""
    evidence = row.get("evidence") or {}
    before = "entered" if row.get("rule") else None
    return {"trigger": evidence.get("trigger", before), "follows": evidence.get("follows")}


def assign_by_rule(
    session: Session,
    changes: AssignmentChanges,
    rule: Rule,
    heads: TemplateHeads,
    *,
    occasion: str,
    agent_id: UUID,
    band_event_id: UUID | None,
    kpi: str | None,
    band: str | None,
    evidence: dict[str, Any],
) -> None:
    """The rule's training, once for an occasion, or why not."""
    head = heads.get(rule.template)
    published = head is not None and head["version"] is not None and not head["archived"]
    skip = find_skip_reason(rule, changes.earlier_of(agent_id), published=published, now=session.now)
    place: Row = {
        "rule": rule.rule,
        "occasion": occasion,
        "band_event_id": band_event_id,
        "agent_id": agent_id,
        "template": rule.template,
    }
    if skip is not None or head is None:
        assert skip is not None
        changes.skipped.append({**place, "reason": skip.reason, "detail": skip.detail, "at": session.now})
        return
    if changes.has_occasion(rule.rule, occasion):
        return
    row: Row = {
        **place,
        "id": new_id(),
        "template_version": head["version"],
        "title": head["title"],
        "status": "assigned",
        "kpi": kpi,
        "band": band,
        "evidence": {**evidence, "trigger": rule.trigger, "rule": rule.model_dump(mode="json")},
        "withdraw_when_left": rule.withdraw_when_left,
        "due_days": rule.due_days,
        "assigned_at": session.now,
        "due_at": compute_due_at(rule.due_days, session.now),
        "corrected": False,
        "attempts": 0,
        "version": 1,
    }
    changes.add(row)
    session.emit(AssignmentAssigned(**event_fields(row)))
