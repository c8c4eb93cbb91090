"""Changes a tenant's rules, texts and webhooks, one by one or by a blueprint's section."""

import secrets
from datetime import timedelta

from servicekit.audit import record_change, record_changes
from servicekit.blueprints import publish_section, require_known_names
from servicekit.errors import Conflict, FieldProblem, Invalid, NotFound
from servicekit.outbound import UrlPolicy
from servicekit.workers import TookTooLong, run_in_worker
from storage import Session

from notification.model.rules import (
    MAX_RULES,
    MAX_TEXTS,
    Language,
    NotificationSection,
    Rule,
    Text,
    Webhook,
)
from notification.model.section import check_section_content, find_references
from notification.model.texts import DEFAULT_TEXTS
from notification.store import configuration, deliveries
from notification.store.configuration import WebhookRow

SECRET_OVERLAP = timedelta(hours=24)
"""How long the secret before a rotation still signs requests."""

REMOVED = "the endpoint was removed"
SWITCHED_OFF = "the endpoint is switched off"


async def section_problems(session: Session, section: NotificationSection, policy: UrlPolicy) -> list[FieldProblem]:
    """All problems of the section, with pointers from its root."""
    present = await load_section(session)
    if not section.texts:
        return check_section_content(section, present, policy)
    try:
        return await run_in_worker(check_section_content, section, present, policy)
    except TookTooLong as error:
        return [FieldProblem(pointer="/texts", problem=error.detail, cure="write fewer and shorter texts")]


async def apply_section(session: Session, section: NotificationSection, policy: UrlPolicy) -> list[FieldProblem]:
    """Applies the section. When it has problems, returns them and changes nothing."""
    problems = await section_problems(session, section, policy)
    if problems:
        return problems
    if section.rules is not None:
        await _audit_rules(session, await configuration.load_rules(session), section.rules)
        await configuration.replace_rules(session, section.rules)
    if section.texts is not None:
        await record_changes(session, "text", await configuration.load_texts(session), section.texts)
        await configuration.replace_texts(session, section.texts)
    if section.webhooks is not None:
        names = {each.webhook for each in section.webhooks}
        for row in await configuration.load_webhooks(session):
            if row.webhook not in names:
                await remove_webhook(session, row.webhook)
        for each in section.webhooks:
            await save_webhook(session, each, reactivate=False)
    return []


async def _audit_rules(session: Session, before: list[Rule], after: list[Rule]) -> None:
    """Records the change of each rule, and of the order of rules that exist before and after."""
    await record_changes(session, "rule", {each.rule: each for each in before}, {each.rule: each for each in after})
    common = {each.rule for each in before} & {each.rule for each in after}
    orders = [[each.rule for each in rules if each.rule in common] for rules in (before, after)]
    record_change(session, "rules", "order", before=orders[0], after=orders[1])


async def edit_section(session: Session, section: NotificationSection, policy: UrlPolicy) -> None:
    """Applies a section that the API received, and publishes the result. Raises Invalid with all problems."""
    await require_known_names(session, find_references(section.rules or []))
    if problems := await apply_section(session, section, policy):
        raise Invalid("invalid-notification", "This cannot be used as it is; `errors` says why.", errors=problems)
    await publish_section_applied(session, version=None)


async def put_rule(session: Session, rule: Rule, policy: UrlPolicy) -> None:
    """Replaces the rule of this name where it stands, or adds it as the last. Raises Invalid."""
    rules = await configuration.load_rules(session)
    index = next((number for number, each in enumerate(rules) if each.rule == rule.rule), len(rules))
    if index == MAX_RULES:
        raise Invalid("too-many-rules", f"There are {MAX_RULES} rules at most. Delete one first.")
    rules[index : index + 1] = [rule]
    await _edit_one(session, NotificationSection(rules=rules), policy, f"/rules/{index}")


async def remove_rule(session: Session, name: str) -> None:
    """Removes a rule; its notices stay. Raises NotFound."""
    rules = await configuration.load_rules(session)
    remaining = [each for each in rules if each.rule != name]
    if len(remaining) == len(rules):
        raise unknown_rule_error(name)
    await _audit_rules(session, rules, remaining)
    await configuration.replace_rules(session, remaining)
    await publish_section_applied(session, version=None)


async def put_text(session: Session, key: str, text: dict[Language, Text], policy: UrlPolicy) -> None:
    """Adds or replaces the tenant's own text `key`, in all its languages. Raises Invalid."""
    texts = {**await configuration.load_texts(session), key: text}
    if len(texts) > MAX_TEXTS:
        raise Invalid("too-many-texts", f"There are {MAX_TEXTS} texts at most. Delete one first.")
    await _edit_one(session, NotificationSection.model_validate({"texts": texts}), policy, f"/texts/{key}")


async def remove_text(session: Session, key: str) -> None:
    """Removes the tenant's own text `key`; the product's text, if there is one, applies again. Raises NotFound, and Conflict
    while a rule needs the text."""
    texts = await configuration.load_texts(session)
    before = texts.pop(key, None)
    if before is None:
        raise unknown_text_error(key)
    users = [f"`{each.rule}`" for each in await configuration.load_rules(session) if each.text_key == key]
    if users and key not in DEFAULT_TEXTS:
        raise Conflict("text-in-use", f"Rules tell `{key}`: {', '.join(users[:5])}. Change or delete them first.")
    record_change(session, "text", key, before=before)
    await configuration.replace_texts(session, texts)
    await publish_section_applied(session, version=None)


async def _edit_one(session: Session, section: NotificationSection, policy: UrlPolicy, at: str) -> None:
    """As `edit_section`, for one item at the pointer `at`: pointers of problems start at the item."""
    try:
        await edit_section(session, section, policy)
    except Invalid as invalid:
        own = [each.model_copy(update={"pointer": each.pointer.removeprefix(at)}) for each in invalid.errors]
        raise Invalid(invalid.slug, invalid.detail, errors=own) from None


async def publish_section_applied(session: Session, *, version: int | None) -> None:
    """Publishes the tenant's current section `notification`. `version`: of the blueprint; None after an edit."""
    section = await load_section(session)
    await publish_section(session, "notification", version, section.content(), find_references(section.rules or []))


async def load_section(session: Session) -> NotificationSection:
    """The tenant's current section."""
    return NotificationSection.model_validate(
        {
            "rules": await configuration.load_rules(session),
            "texts": await configuration.load_texts(session),
            "webhooks": [_row_to_webhook(row) for row in await configuration.load_webhooks(session)],
        }
    )


def _row_to_webhook(row: WebhookRow) -> Webhook:
    return Webhook(webhook=row.webhook, url=row.url, events=row.events, enabled=row.enabled)


async def save_webhook(session: Session, webhook: Webhook, *, rotate: bool = False, reactivate: bool = True) -> bool:
    """Adds or replaces a webhook. `rotate`: with a new secret. `reactivate` False: a webhook that the service disabled, since
    its endpoint answered 410, stays disabled while its URL is the same. Returns whether the secret is new."""
    before = await configuration.find_webhook(session, webhook.webhook)
    if before is not None and before.disabled_reason and before.url == webhook.url and not reactivate:
        webhook = webhook.model_copy(update={"enabled": False})
        disabled_reason = before.disabled_reason
    else:
        disabled_reason = None
    if before is None or rotate:
        salt = secrets.token_urlsafe(24)
        previous_salt = before and before.salt
        previous_until = before and session.now + SECRET_OVERLAP
    else:
        salt, previous_salt, previous_until = before.salt, before.previous_salt, before.previous_until
    row = WebhookRow(
        webhook.webhook,
        webhook.url,
        webhook.events,
        webhook.enabled,
        disabled_reason=disabled_reason,
        salt=salt,
        previous_salt=previous_salt,
        previous_until=previous_until,
        created_at=before.created_at if before else session.now,
    )
    await configuration.upsert_webhook(session, row)
    record_change(session, "webhook", webhook.webhook, before=before and _row_to_webhook(before), after=webhook)
    if rotate and before is not None:
        record_change(session, "webhook", webhook.webhook, action="secret_renewed")
    if not webhook.enabled:
        await deliveries.cancel_pending(session, webhook.webhook, SWITCHED_OFF)
    return before is None or rotate


async def remove_webhook(session: Session, name: str) -> None:
    """Removes a webhook and cancels its pending deliveries. Raises NotFound."""
    before = await configuration.find_webhook(session, name)
    if before is None or not await configuration.delete_webhook(session, name):
        raise unknown_webhook_error(name)
    record_change(session, "webhook", name, before=_row_to_webhook(before))
    await deliveries.cancel_pending(session, name, REMOVED)


def unknown_rule_error(name: str) -> NotFound:
    """The problem for a rule that does not exist."""
    return NotFound("unknown-rule", f"There is no rule `{name}`.")


def unknown_text_error(key: str) -> NotFound:
    """The problem for a text that the tenant does not have."""
    own = " The product's own is told." if key in DEFAULT_TEXTS else ""
    return NotFound("unknown-text", f"The tenant has no text of its own `{key}`.{own}")


def unknown_webhook_error(name: str) -> NotFound:
    """The problem for a webhook that does not exist."""
    return NotFound("unknown-webhook", f"There is no webhook `{name}`.")
