"""The rules of the game, for everyone to read."""

from servicekit import DEFINITION_BYTES, CallerDep, Page, PageDep, WorkSession, accepts, page_within
from servicekit import router as door_router
from servicekit.errors import FieldProblem, Invalid, NotFound

from gamification.actions import rules as actions
from gamification.model.rules import Rule, Slug, Strict
from gamification.store import rules as store

router = door_router(tags=["rules"])


class Rules(Strict):
    rules: list[Rule]


class RulePage(Page[Rule]):
    pass


@router.get("/rules", response_model=RulePage)
@accepts(reach="tenant")
async def list_rules(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[Rule]:
    """The rules in force, by name."""
    return page_within(await store.current_rules(session), page, lambda each: each.rule)


@router.put("/rules")
@accepts(DEFINITION_BYTES, roles=("tenant_admin",))
async def replace_rules(body: Rules, session: WorkSession, caller: CallerDep) -> Rules:
    """All rules at once: those that are not named are retired; points already given stay."""
    await actions.replace_rules(session, body.rules)
    return Rules(rules=await store.current_rules(session))


@router.get("/rules/{rule}")
@accepts(reach="tenant")
async def get_rule(rule: str, session: WorkSession, caller: CallerDep) -> Rule:
    """A rule in force."""
    found = next((each for each in await store.current_rules(session) if each.rule == rule), None)
    if found is None:
        raise NotFound("unknown-rule", f"There is no rule `{rule}`.")
    return found


@router.put("/rules/{rule}")
@accepts(roles=("tenant_admin",))
async def put_rule(rule: Slug, body: Rule, session: WorkSession, caller: CallerDep) -> Rule:
    """Counts from now on."""
    if body.rule != rule:
        problem = FieldProblem(pointer="/rule", problem=f"it is `{body.rule}`", cure=f"`{rule}`, as in the address")
        raise Invalid("other-rule", "The body names another rule than the address.", errors=[problem])
    await actions.put_rule(session, body)
    return body


@router.delete("/rules/{rule}", status_code=204)
@accepts(roles=("tenant_admin",))
async def retire_rule(rule: str, session: WorkSession, caller: CallerDep) -> None:
    """Gives no more points; those it gave stay. PUT brings it back. Refused (409) while a leaderboard counts it."""
    await actions.retire_rule(session, rule)
