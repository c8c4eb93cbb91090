"""The rules that give points: everybody reads them, administrators edit them."""

from servicekit import DEFINITION_BYTES, CallerDep, Page, PageDep, WorkSession, page_within, route_policy
from servicekit import router as door_router
from servicekit.errors import FieldProblem, Invalid, NotFound
from servicekit.strict_models import StrictModel

from gamification.actions import rules as actions
from gamification.model.rules import ReadRule, Rule, Slug, read_rule
from gamification.store import rules as store

router = door_router(tags=["rules"])


class Rules(StrictModel):
    """All rules that are in force."""

    rules: list[Rule]


class RulePage(Page[ReadRule]):
    """A page of rules in force, by name."""


@router.get("/rules", response_model=RulePage)
@route_policy(reach="tenant")
async def list_rules(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[ReadRule]:
    """The rules in force, by name."""
    in_force = [read_rule(each) for each in await store.load_current_rules(session)]
    return page_within(in_force, page, lambda each: each.rule)


@router.put("/rules")
@route_policy(DEFINITION_BYTES, roles=("tenant_admin",))
async def replace_rules(body: Rules, session: WorkSession, caller: CallerDep) -> Rules:
    """All rules at once: those that are not named are retired; points already given stay."""
    await actions.replace_rules(session, body.rules)
    return Rules(rules=await store.load_current_rules(session))


@router.get("/rules/{rule}")
@route_policy(reach="tenant")
async def get_rule(rule: str, session: WorkSession, caller: CallerDep) -> ReadRule:
    """A rule in force, or as it last was before it was retired."""
    found = await store.find_rule(session, rule)
    if found is None:
        raise NotFound("unknown-rule", f"There is no rule `{rule}`.")
    return read_rule(found[0], retired=found[1])


@router.put("/rules/{rule}")
@route_policy(roles=("tenant_admin",))
async def put_rule(rule: Slug, body: Rule, session: WorkSession, caller: CallerDep) -> ReadRule:
    """Counts from now on. Brings back one that was retired."""
    if body.rule != rule:
        problem = FieldProblem(pointer="/rule", problem=f"it is `{body.rule}`", cure=f"`{rule}`, as in the address")
        raise Invalid("other-rule", "The body names another rule than the address.", errors=[problem])
    await actions.put_rule(session, body)
    return read_rule(body)


@router.delete("/rules/{rule}", status_code=204)
@route_policy(roles=("tenant_admin",))
async def retire_rule(rule: str, session: WorkSession, caller: CallerDep) -> None:
    """Gives no more points; those it gave stay, and it can still be read. PUT brings it back. Refused (409) while a leaderboard counts it."""
    await actions.retire_rule(session, rule)
