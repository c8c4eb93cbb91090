"""Applies the rules that follow on a failed or overdue assignment."""

from typing import Literal

from storage import Session

from training.actions.rule_assignments import assign_by_rule
from training.model.assignment import AssignmentRow
from training.model.assignment_changes import AssignmentChanges
from training.model.rules import sort_by_priority
from training.store import assignments, templates


async def apply_follow_up_rules(session: Session, row: AssignmentRow, trigger: Literal["failed", "overdue"]) -> None:
    """Each rule that follows on the assignment assigns its training once. The new assignment belongs to the same stay in the
    band and is withdrawn with it. The caller has locked the agent."""
    rules = sort_by_priority(
        [
            rule
            for rule in await templates.list_rules(session)
            if rule.follows(trigger, rule=row.rule, template=row.template, kpi=row.kpi, band=row.band)
        ]
    )
    if not rules:
        return
    occasion = f"{row.id} {trigger}"
    changes = AssignmentChanges(
        await assignments.load_by_occasions(session, [occasion]),
        await assignments.load_earlier(session, {row.agent_id}),
    )
    templates_by_slug = await templates.find_heads(session, {rule.template for rule in rules})
    evidence = {
        **{name: value for name, value in (row.evidence or {}).items() if name not in ("rule", "trigger")},
        "follows": str(row.id),
        "template": row.template,
        "due_at": row.due_at.isoformat() if row.due_at else None,
        "attempts": row.attempts,
        "score_percent": row.score_percent,
    }
    for rule in rules:
        assign_by_rule(
            session,
            changes,
            rule,
            templates_by_slug,
            occasion=occasion,
            agent_id=row.agent_id,
            band_event_id=row.band_event_id,
            kpi=row.kpi,
            band=row.band,
            evidence=evidence,
        )
    await assignments.write_changes(session, changes)
