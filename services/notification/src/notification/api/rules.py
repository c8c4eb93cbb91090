"""Rules and texts, each as a whole."""

from pydantic import BaseModel
from servicekit import DEFINITION_BYTES, CallerDep, Page, PageDep, WorkSession, accepts, page_within
from servicekit import router as door_router

from notification.actions import configure
from notification.api.parts import PartsDep
from notification.model.rules import NotificationSection, Rule, Strict, Text, Texts
from notification.model.texts import DEFAULT_TEXTS
from notification.store import configuration

router = door_router(tags=["rules"])

ADMIN = "tenant_admin"


class Rules(Strict):
    rules: list[Rule]


class OwnTexts(Strict):
    texts: Texts


class TextsView(BaseModel):
    """`texts`: the tenant's own, which take the place of those in `defaults`, language by language."""

    texts: dict[str, dict[str, Text]]
    defaults: dict[str, dict[str, Text]]


@router.get("/rules")
@accepts(roles=(ADMIN,))
async def list_rules(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[Rule]:
    """The rules in force, by name. Needs tenant_admin."""
    return page_within(await configuration.rules(session), page, lambda each: each.rule)


@router.put("/rules")
@accepts(DEFINITION_BYTES, roles=(ADMIN,))
async def replace_rules(body: Rules, session: WorkSession, caller: CallerDep, parts: PartsDep) -> Rules:
    """All rules of the tenant: what is not named is removed. Needs tenant_admin."""
    await configure.edit(session, NotificationSection(rules=body.rules), parts.policy)
    return Rules(rules=await configuration.rules(session))


@router.get("/texts")
@accepts(roles=(ADMIN,))
async def get_texts(session: WorkSession, caller: CallerDep) -> TextsView:
    """The texts that notices are written from. Needs tenant_admin."""
    return TextsView(texts=await configuration.texts(session), defaults=DEFAULT_TEXTS)


@router.put("/texts")
@accepts(DEFINITION_BYTES, roles=(ADMIN,))
async def replace_texts(body: OwnTexts, session: WorkSession, caller: CallerDep, parts: PartsDep) -> TextsView:
    """All texts of the tenant's own: what is not named falls back to the product's. Needs tenant_admin."""
    await configure.edit(session, NotificationSection(texts=body.texts), parts.policy)
    return await get_texts(session, caller)
