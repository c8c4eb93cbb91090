"""What follows on an assignment that was failed or is overdue: another training, or a task."""

from typing import Any, Literal

from storage import Session

from training.actions.rule_assignments import assign_by_rule
from training.model.assignment_changes import AssignmentChanges
from training.model.rules import sort_by_priority
from training.store import assignments, templates


async def apply_follow_up_rules(session: Session, row: dict[str, Any], trigger: Literal["failed", "overdue"]) -> None:
    """Each rule that follows on it gives its training once for this assignment. What it gives is of the same stay in the
    band, and is withdrawn with it. The agent must have been locked."""
    where = {name: row[name] for name in ("rule", "template", "kpi", "band")}
    rules = sort_by_priority([rule for rule in await templates.list_rules(session) if rule.follows(trigger, **where)])
    if not rules:
        return
    occasion = f"{row['id']} {trigger}"
    given = AssignmentChanges(
        await assignments.load_by_occasions(session, [occasion]),
        await assignments.load_earlier(session, {row["agent_id"]}),
    )
    heads = await templates.find_heads(session, {rule.template for rule in rules})
    before = row["evidence"] or {}
    evidence = {
        **{name: before[name] for name in before if name not in ("rule", "trigger")},
        "follows": str(row["id"]),
        "template": row["template"],
        "due_at": row["due_at"].isoformat() if row["due_at"] else None,
        "attempts": row["attempts"],
        "score_percent": row["score_percent"],
    }
    for rule in rules:
        assign_by_rule(
            session,
            given,
            rule,
            heads,
            occasion=occasion,
            agent_id=row["agent_id"],
            band_event_id=row["band_event_id"],
            kpi=row["kpi"],
            band=row["band"],
            evidence=evidence,
        )
    await assignments.write_changes(session, given)
