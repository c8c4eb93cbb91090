"""Applies one rule to one person: assigns its training or records why not. Also the fields of every assignment event."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from contracts import new_id
from contracts.assignments import AssignmentAssigned
from storage import Session

from training.model.assignment import AssignmentRow, SkippedRow
from training.model.assignment_changes import AssignmentChanges
from training.model.rules import Rule, compute_due_at, find_skip_reason
from training.store.templates import TemplateRow

TemplatesBySlug = Mapping[str, TemplateRow]
"""Existing templates by slug."""

_EVENT_FIELDS = (
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


def event_fields(row: AssignmentRow) -> dict[str, Any]:
    """The fields that all events about an assignment share, by name."""
    titles = {name: title for name, title in find_titles(row).items() if title}
    return {"assignment_id": row.id, **titles, **find_origin(row)} | {
        name: getattr(row, name) for name in _EVENT_FIELDS
    }


def find_titles(row: AssignmentRow) -> dict[str, dict[str, str] | None]:
    """The titles of rule, KPI and band, by language, when the training was assigned; None where there was none."""
    evidence = row.evidence or {}
    rule: dict[str, Any] = evidence.get("rule") or {}
    return {
        "rule_title": rule.get("title"),
        "kpi_title": evidence.get("kpi_title"),
        "band_title": evidence.get("band_title"),
    }


def find_origin(row: AssignmentRow) -> dict[str, str | None]:
    """The `trigger` of the rule and the id of the assignment it `follows`; both None when it was assigned by hand."""
    evidence = row.evidence or {}
    default = "entered" if row.rule else None  # rows from before rules had triggers
    return {"trigger": evidence.get("trigger", default), "follows": evidence.get("follows")}


def assign_by_rule(
    session: Session,
    changes: AssignmentChanges,
    rule: Rule,
    templates_by_slug: TemplatesBySlug,
    *,
    occasion: str,
    agent_id: UUID,
    band_event_id: UUID | None,
    kpi: str | None,
    band: str | None,
    evidence: dict[str, Any],
) -> None:
    """Assigns the rule's training, at most once for an occasion, or records why it is skipped."""
    head = templates_by_slug.get(rule.template)
    version = None if head is None or head.archived else head.version
    skip = find_skip_reason(rule, changes.earlier_of(agent_id), published=version is not None, now=session.now)
    if skip is not None or head is None or version is None:
        assert skip is not None
        changes.skipped.append(
            SkippedRow(
                rule=rule.rule,
                occasion=occasion,
                band_event_id=band_event_id,
                agent_id=agent_id,
                template=rule.template,
                reason=skip.reason,
                detail=skip.detail,
                at=session.now,
            )
        )
        return
    if changes.has_occasion(rule.rule, occasion):
        return
    row = AssignmentRow(
        id=new_id(),
        rule=rule.rule,
        occasion=occasion,
        band_event_id=band_event_id,
        agent_id=agent_id,
        template=rule.template,
        template_version=version,
        title=head.title,
        kpi=kpi,
        band=band,
        evidence={**evidence, "trigger": rule.trigger, "rule": rule.model_dump(mode="json")},
        withdraw_when_left=rule.withdraw_when_left,
        due_days=rule.due_days,
        assigned_at=session.now,
        due_at=compute_due_at(rule.due_days, session.now),
    )
    changes.add(row)
    session.emit(AssignmentAssigned(**event_fields(row)))
