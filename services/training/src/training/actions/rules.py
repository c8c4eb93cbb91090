"""Changes assignment rules, and applies the blueprint section."""

from collections.abc import Sequence

from servicekit.audit import record_change, record_changes
from servicekit.blueprints import require_known_names
from servicekit.errors import FieldProblem, Invalid, NotFound
from storage import DocumentStore, Session

from training.actions.templates import archive, publish_content, publish_section_applied
from training.model.rules import Rule
from training.model.section import (
    Section,
    check_rules,
    check_unique,
    find_contradictions,
    find_references,
    find_rule_references,
)
from training.store import templates as store


async def put_rule(session: Session, documents: DocumentStore, rule: Rule) -> None:
    """Adds or replaces a rule. Raises Invalid when its template, KPI or band does not exist."""
    await _check(session, [rule])
    await require_known_names(session, find_rule_references(rule))
    before = {each.rule: each for each in await store.list_rules(session)}
    record_change(session, "rule", rule.rule, before=before.get(rule.rule), after=rule)
    await store.upsert_rule(session, rule)
    await publish_section_applied(session, documents, version=None)


async def remove_rule(session: Session, documents: DocumentStore, rule: str) -> None:
    """Deletes a rule; its assignments stay. Raises NotFound."""
    before = {each.rule: each for each in await store.list_rules(session)}
    if rule not in before:
        raise NotFound("unknown-rule", f"There is no rule `{rule}`.")
    record_change(session, "rule", rule, before=before[rule])
    await store.delete_rule(session, rule)
    await publish_section_applied(session, documents, version=None)


async def replace_rules(session: Session, documents: DocumentStore, rules: Sequence[Rule]) -> None:
    """Replaces all rules. Raises Invalid and changes nothing when one of them is wrong."""
    await _check(session, rules)
    await require_known_names(session, find_references(rules))
    await _replace(session, rules)
    await publish_section_applied(session, documents, version=None)


async def apply_section(session: Session, documents: DocumentStore, section: Section) -> list[FieldProblem]:
    """Applies the section. When it contradicts itself, returns the problems and changes nothing."""
    if problems := find_contradictions(section):
        return problems
    contents = {template.template: template.content() for template in section.templates}
    for slug, content in sorted(contents.items()):
        await publish_content(session, documents, slug, content)
    for slug in sorted(await store.load_active_slugs(session) - set(contents)):
        await archive(session, documents, slug)
    await _replace(session, section.rules)
    return []


async def _replace(session: Session, rules: Sequence[Rule]) -> None:
    before = {each.rule: each for each in await store.list_rules(session)}
    await record_changes(session, "rule", before, {each.rule: each for each in rules})
    await store.replace_rules(session, list(rules))


async def _check(session: Session, rules: Sequence[Rule]) -> None:
    problems = check_unique(rules) + check_rules(rules, sorted(await store.load_active_slugs(session)))
    if problems:
        raise Invalid("bad-rules", "; ".join(each.problem for each in problems), errors=problems)
