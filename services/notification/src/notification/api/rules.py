"""Rules and texts."""

from typing import Annotated

from fastapi import Body
from pydantic import BaseModel, Field
from servicekit import DEFINITION_BYTES, CallerDep, Page, PageDep, WorkSession, page_within, route_policy
from servicekit import router as door_router
from servicekit.errors import FieldProblem, Invalid
from servicekit.strict_models import StrictModel

from notification.actions import configure
from notification.api.dependencies import DependenciesDep
from notification.model.rules import (
    MAX_RULES,
    MAX_TEXTS,
    Key,
    Language,
    NotificationSection,
    Rule,
    Slug,
    Text,
    Texts,
)
from notification.model.texts import DEFAULT_TEXTS
from notification.store import configuration

router = door_router(tags=["rules"])

ADMIN = "tenant_admin"


class Rules(StrictModel):
    """All rules of the tenant."""

    rules: list[Rule] = Field(max_length=MAX_RULES)


class OwnTexts(StrictModel):
    """All texts of the tenant's own, by name and language."""

    texts: Texts = Field(max_length=MAX_TEXTS)


class TextsView(BaseModel):
    """`texts`: the tenant's own, which take the place of those in `defaults`, language by language."""

    texts: dict[str, dict[str, Text]]
    defaults: dict[str, dict[str, Text]]


@router.get("/rules")
@route_policy(roles=(ADMIN,))
async def list_rules(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[Rule]:
    """The rules in force, by name. Needs tenant_admin."""
    return page_within(await configuration.load_rules(session), page, lambda each: each.rule)


@router.put("/rules")
@route_policy(DEFINITION_BYTES, roles=(ADMIN,))
async def replace_rules(body: Rules, session: WorkSession, caller: CallerDep, dependencies: DependenciesDep) -> Rules:
    """All rules of the tenant: what is not named is removed. Needs tenant_admin."""
    await configure.edit_section(session, NotificationSection(rules=body.rules), dependencies.policy)
    return Rules(rules=await configuration.load_rules(session))


@router.get("/rules/{rule}")
@route_policy(roles=(ADMIN,))
async def get_rule(rule: str, session: WorkSession, caller: CallerDep) -> Rule:
    """One rule of the tenant. Needs tenant_admin."""
    found = next((each for each in await configuration.load_rules(session) if each.rule == rule), None)
    if found is None:
        raise configure.unknown_rule_error(rule)
    return found


@router.put("/rules/{rule}")
@route_policy(roles=(ADMIN,))
async def put_rule(
    rule: Slug, body: Rule, session: WorkSession, caller: CallerDep, dependencies: DependenciesDep
) -> Rule:
    """Adds or changes one rule; the others stay. Needs tenant_admin."""
    if body.rule != rule:
        problem = FieldProblem(pointer="/rule", problem=f"it is `{body.rule}`", cure=f"`{rule}`, as in the address")
        raise Invalid("other-rule", "The body names another rule than the address.", errors=[problem])
    await configure.put_rule(session, body, dependencies.policy)
    return body


@router.delete("/rules/{rule}", status_code=204)
@route_policy(roles=(ADMIN,))
async def delete_rule(rule: str, session: WorkSession, caller: CallerDep) -> None:
    """Nothing more is told by it. Needs tenant_admin."""
    await configure.remove_rule(session, rule)


@router.get("/texts")
@route_policy(roles=(ADMIN,))
async def get_texts(session: WorkSession, caller: CallerDep) -> TextsView:
    """The texts that notices are written from. Needs tenant_admin."""
    return TextsView(texts=await configuration.load_texts(session), defaults=DEFAULT_TEXTS)


@router.put("/texts")
@route_policy(DEFINITION_BYTES, roles=(ADMIN,))
async def replace_texts(
    body: OwnTexts, session: WorkSession, caller: CallerDep, dependencies: DependenciesDep
) -> TextsView:
    """All texts of the tenant's own: what is not named falls back to the product's. Needs tenant_admin."""
    await configure.edit_section(session, NotificationSection(texts=body.texts), dependencies.policy)
    return await get_texts(session, caller)


OneText = Annotated[dict[Language, Text], Body(), Field(min_length=1)]


@router.get("/texts/{text}")
@route_policy(roles=(ADMIN,))
async def get_text(text: str, session: WorkSession, caller: CallerDep) -> dict[str, Text]:
    """One of the tenant's own, by language."""
    found = (await configuration.load_texts(session)).get(text)
    if found is None:
        raise configure.unknown_text_error(text)
    return found


@router.put("/texts/{text}")
@route_policy(roles=(ADMIN,))
async def put_text(
    text: Key, body: OneText, session: WorkSession, caller: CallerDep, dependencies: DependenciesDep
) -> dict[str, Text]:
    """Adds or changes one text, in all its languages; the others stay. Needs tenant_admin."""
    await configure.put_text(session, text, body, dependencies.policy)
    return (await configuration.load_texts(session))[text]


@router.delete("/texts/{text}", status_code=204)
@route_policy(roles=(ADMIN,))
async def delete_text(text: str, session: WorkSession, caller: CallerDep) -> None:
    """The product's own text takes its place. Refused (409) while a rule names it and the product has none. Needs
    tenant_admin."""
    await configure.remove_text(session, text)
