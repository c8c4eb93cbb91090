"""Routes of assignment rules and of skipped trainings."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel
from servicekit import (
    DEFINITION_BYTES,
    CallerDep,
    DocumentsDep,
    Page,
    PageDep,
    WorkSession,
    page_of,
    page_within,
    route_policy,
    visibility,
)
from servicekit import router as door_router
from servicekit.errors import FieldProblem, Invalid, NotFound
from servicekit.strict_models import StrictModel

from training.actions import rules as actions
from training.api.templates import EDITORS, READERS
from training.model.content import Slug
from training.model.rules import Rule, SkipReason
from training.store import assignments, templates

router = door_router(tags=["rules"])


class Rules(StrictModel):
    """All rules, in any order; they replace the existing ones."""

    rules: list[Rule]


class Skipped(BaseModel):
    """A training that a rule would have given. `occasion`: the stay (and the round in it),
    or the assignment that was followed on."""

    rule: str
    occasion: str
    band_event_id: UUID | None
    agent_id: UUID
    agent: str | None
    name: str | None
    template: str
    reason: SkipReason
    detail: str
    at: datetime


@router.get("/rules")
@route_policy(roles=READERS, whole_tenant=False)
async def list_rules(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[Rule]:
    """The rules in force, by name."""
    return page_within(await templates.list_rules(session), page, lambda each: each.rule)


@router.put("/rules")
@route_policy(DEFINITION_BYTES, roles=EDITORS)
async def replace_rules(body: Rules, session: WorkSession, caller: CallerDep, documents: DocumentsDep) -> Rules:
    """All rules at once: those that are not named are removed."""
    await actions.replace_rules(session, documents, body.rules)
    return Rules(rules=await templates.list_rules(session))


@router.get("/rules/{rule}")
@route_policy(roles=READERS, whole_tenant=False)
async def get_rule(rule: str, session: WorkSession, caller: CallerDep) -> Rule:
    """A rule in force."""
    found = next((each for each in await templates.list_rules(session) if each.rule == rule), None)
    if found is None:
        raise NotFound("unknown-rule", f"There is no rule `{rule}`.")
    return found


@router.put("/rules/{rule}")
@route_policy(roles=EDITORS)
async def put_rule(rule: Slug, body: Rule, session: WorkSession, caller: CallerDep, documents: DocumentsDep) -> Rule:
    """Adds or changes one rule."""
    if body.rule != rule:
        problem = FieldProblem(pointer="/rule", problem=f"it is `{body.rule}`", cure=f"`{rule}`, as in the address")
        raise Invalid(
            "other-rule", "The rule in the body has another name than the one in the address.", errors=[problem]
        )
    await actions.put_rule(session, documents, body)
    return body


@router.delete("/rules/{rule}", status_code=204)
@route_policy(roles=EDITORS)
async def delete_rule(rule: str, session: WorkSession, caller: CallerDep, documents: DocumentsDep) -> None:
    """It gives nothing more; what it has given stays."""
    await actions.remove_rule(session, documents, rule)


@router.get("/skipped")
@route_policy(reach="people")
async def list_skipped(
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    agent: str | None = None,
    team: str | None = None,
    rule: str | None = None,
) -> Page[Skipped]:
    """What rules did not give, and why; newest first."""
    visible = await visibility.load_visibility(session, caller, agent=agent, team=team)
    after = page.values(datetime.fromisoformat, str, str)
    rows = await assignments.load_skipped_page(session, visible=visible, rule=rule, after=after, limit=page.limit + 1)
    return page_of(
        [Skipped(**vars(row)) for row in rows],
        page,
        cursor=lambda each: [each.at.isoformat(), each.occasion, each.rule],
    )
