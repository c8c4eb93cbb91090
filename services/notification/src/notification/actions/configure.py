"""Rules, texts and webhooks of a tenant, edited one by one or by a blueprint."""

import secrets
from datetime import timedelta
from typing import Any

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
    Texts,
    Webhook,
)
from notification.model.section import check_section_content, find_references
from notification.model.texts import DEFAULT_TEXTS
from notification.store import configuration, deliveries

SECRET_OVERLAP = timedelta(hours=24)
"""How long the secret before a rotation is still signed with."""

REMOVED = "the endpoint was removed"
SWITCHED_OFF = "the endpoint is switched off"


async def section_problems(session: Session, section: NotificationSection, policy: UrlPolicy) -> list[FieldProblem]:
    """All that is wrong with it; pointers from the section's root."""
    present = await load_section(session)
    if not section.texts:
        return check_section_content(section, present, policy)
    try:
        return await run_in_worker(check_section_content, section, present, policy)
    except TookTooLong as error:
        return [FieldProblem(pointer="/texts", problem=error.detail, cure="write fewer and shorter texts")]


async def apply_section(session: Session, section: NotificationSection, policy: UrlPolicy) -> list[FieldProblem]:
    """Puts the section in force, or returns what stands in the way and changes nothing."""
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
        wanted = {each.webhook for each in section.webhooks}
        for row in await configuration.load_webhooks(session):
            if row["webhook"] not in wanted:
                await remove_webhook(session, row["webhook"])
        for each in section.webhooks:
            await save_webhook(session, each, reactivate=False)
    return []


async def _audit_rules(session: Session, before: list[Rule], after: list[Rule]) -> None:
    """Rule by rule, and their order where those that stay changed places."""
    await record_changes(session, "rule", {each.rule: each for each in before}, {each.rule: each for each in after})
    stay = {each.rule for each in before} & {each.rule for each in after}
    orders = [[each.rule for each in rules if each.rule in stay] for rules in (before, after)]
    record_change(session, "rules", "order", before=orders[0], after=orders[1])


async def edit_section(session: Session, section: NotificationSection, policy: UrlPolicy) -> None:
    """A direct edit. Raises Invalid with every problem; answers with the whole section as it now is."""
    await require_known_names(session, find_references(section.rules or []))
    if problems := await apply_section(session, section, policy):
        raise Invalid("invalid-notification", "This cannot be used as it is; `errors` says why.", errors=problems)
    await publish_section_applied(session, version=None)


async def put_rule(session: Session, rule: Rule, policy: UrlPolicy) -> None:
    """In the place that it has; a new one comes last. Raises Invalid."""
    rules = await configuration.load_rules(session)
    place = next((number for number, each in enumerate(rules) if each.rule == rule.rule), len(rules))
    if place == MAX_RULES:
        raise Invalid("too-many-rules", f"There are {MAX_RULES} rules at most. Delete one first.")
    rules[place : place + 1] = [rule]
    await _edit_one(session, NotificationSection(rules=rules), policy, f"/rules/{place}")


async def remove_rule(session: Session, name: str) -> None:
    """What it has told stays. Raises NotFound."""
    rules = await configuration.load_rules(session)
    left = [each for each in rules if each.rule != name]
    if len(left) == len(rules):
        raise unknown_rule_error(name)
    await _audit_rules(session, rules, left)
    await configuration.replace_rules(session, left)
    await publish_section_applied(session, version=None)


async def put_text(session: Session, key: str, text: dict[Language, Text], policy: UrlPolicy) -> None:
    """In all its languages. Raises Invalid."""
    texts: Texts = {**await configuration.load_texts(session), key: text}  # pyright: ignore[reportAssignmentType]
    if len(texts) > MAX_TEXTS:
        raise Invalid("too-many-texts", f"There are {MAX_TEXTS} texts at most. Delete one first.")
    await _edit_one(session, NotificationSection(texts=texts), policy, f"/texts/{key}")


async def remove_text(session: Session, key: str) -> None:
    """The product's own text takes its place, where there is one. Raises NotFound, and Conflict while a rule needs it."""
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
    """As `edit`; problems are told by their place in the one thing at `at`."""
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
    """Everything that is in force."""
    return NotificationSection(
        rules=await configuration.load_rules(session),
        texts=await configuration.load_texts(session),  # pyright: ignore[reportArgumentType]
        webhooks=[_row_to_webhook(row) for row in await configuration.load_webhooks(session)],
    )


def _row_to_webhook(row: dict[str, Any]) -> Webhook:
    return Webhook(**{name: row[name] for name in Webhook.model_fields})


async def save_webhook(session: Session, wanted: Webhook, *, rotate: bool = False, reactivate: bool = True) -> bool:
    """True when the endpoint now has a new secret. Without `revive`, one that asked for no more events (410) stays
    off while its URL is the same."""
    before = await configuration.find_webhook(session, wanted.webhook)
    fields = {"disabled_reason": None, "previous_salt": None, "previous_until": None, "created_at": session.now}
    fresh = before is None or rotate
    if fresh:
        fields["salt"] = secrets.token_urlsafe(24)
    if before is not None:
        fields["created_at"] = before["created_at"]
        if rotate:
            fields |= {"previous_salt": before["salt"], "previous_until": session.now + SECRET_OVERLAP}
        else:
            fields |= {name: before[name] for name in ("salt", "previous_salt", "previous_until")}
        if before["disabled_reason"] and before["url"] == wanted.url and not reactivate:
            wanted = wanted.model_copy(update={"enabled": False})
            fields["disabled_reason"] = before["disabled_reason"]
    await configuration.save_webhook(session, wanted, **fields)
    record_change(session, "webhook", wanted.webhook, before=before and _row_to_webhook(before), after=wanted)
    if rotate and before is not None:
        record_change(session, "webhook", wanted.webhook, action="secret_renewed")
    if not wanted.enabled:
        await deliveries.cancel_pending(session, wanted.webhook, SWITCHED_OFF)
    return fresh


async def remove_webhook(session: Session, name: str) -> None:
    """Raises NotFound."""
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
