"""Rules and boards: edited one by one, or replaced by a blueprint."""

from collections.abc import Sequence
from typing import Any

from servicekit.audit import record_change, record_changes
from servicekit.blueprints import publish_section, require_known_names
from servicekit.blueprints.checking import find_duplicates
from servicekit.errors import Conflict, FieldProblem, Invalid, NotFound
from storage import Session

from gamification.model.boards import Leaderboard
from gamification.model.rules import Rule
from gamification.model.section import (
    Section,
    check_board,
    find_board_references,
    find_contradictions,
    find_references,
    find_rule_references,
    find_section_references,
)
from gamification.store import rules as store


async def put_rule(session: Session, rule: Rule) -> None:
    """Adds or changes a rule from now on; past days keep the rule they were evaluated by. Raises Invalid for an unknown
    name in it."""
    await require_known_names(session, find_rule_references(rule))
    await store.lock_rules(session)
    current = {each.rule: each for each in await store.load_current_rules(session)}
    if current.get(rule.rule) != rule:
        await store.add_edition(session, rule.rule, rule)
    record_change(session, "rule", rule.rule, before=current.get(rule.rule), after=rule)
    await publish_section_applied(session, version=None)


async def retire_rule(session: Session, name: str) -> None:
    """Retires a rule; the points that it granted stay. Raises NotFound, and Conflict while a board counts it."""
    await store.lock_rules(session)
    current = {each.rule: each for each in await store.load_current_rules(session)}
    if name not in current:
        raise NotFound("unknown-rule", f"There is no rule `{name}`.")
    users = [f"`{each.leaderboard}`" for each in await store.list_boards(session) if name in (each.rules or [])]
    if users:
        cure = "Take it out of them, or delete them, first."
        raise Conflict("rule-in-use", f"Leaderboards count `{name}`: {', '.join(users[:5])}. {cure}")
    record_change(session, "rule", name, before=current[name])
    await store.add_edition(session, name, None)
    await publish_section_applied(session, version=None)


async def replace_rules(session: Session, rules: Sequence[Rule]) -> None:
    """Replaces all rules; those not in `rules` are retired. Raises Invalid, and then changes nothing."""
    names = [rule.rule for rule in rules]
    problems = find_duplicates("rules", "rule", names)
    for board in await store.list_boards(session):
        problems += check_board(board, names, f"/leaderboards/{board.leaderboard}")
    if problems:
        raise Invalid("bad-rules", "; ".join(each.problem for each in problems), errors=problems)
    await require_known_names(session, find_references(rules))
    await _replace_rules(session, rules)
    await publish_section_applied(session, version=None)


async def put_board(session: Session, board: Leaderboard) -> None:
    """Adds or changes a board. Raises Invalid for an unknown rule or org unit."""
    problems = check_board(board, [rule.rule for rule in await store.load_current_rules(session)])
    if problems:
        raise Invalid("bad-leaderboard", "; ".join(each.problem for each in problems), errors=problems)
    await require_known_names(session, find_board_references(board))
    record_change(
        session,
        "leaderboard",
        board.leaderboard,
        before=await store.find_board(session, board.leaderboard),
        after=board,
    )
    await store.upsert_board(session, board)
    await publish_section_applied(session, version=None)


async def remove_board(session: Session, name: str) -> None:
    """Deletes a board. Raises NotFound."""
    before = await store.find_board(session, name)
    if before is None or not await store.delete_board(session, name):
        raise NotFound("unknown-leaderboard", f"There is no leaderboard `{name}`.")
    record_change(session, "leaderboard", name, before=before)
    await publish_section_applied(session, version=None)


async def apply_section(session: Session, section: Section) -> list[FieldProblem]:
    """Applies the section. When it contradicts itself, returns the problems and changes nothing."""
    if problems := find_contradictions(section):
        return problems
    await _replace_rules(session, section.rules)
    boards = {each.leaderboard: each for each in await store.list_boards(session)}
    await record_changes(session, "leaderboard", boards, {each.leaderboard: each for each in section.leaderboards})
    await store.replace_boards(session, section.leaderboards)
    return []


async def _replace_rules(session: Session, rules: Sequence[Rule]) -> None:
    await store.lock_rules(session)
    before = {each.rule: each for each in await store.load_current_rules(session)}
    after = {each.rule: each for each in rules}
    await record_changes(session, "rule", before, after)
    for name, rule in sorted(after.items()):
        if before.get(name) != rule:
            await store.add_edition(session, name, rule)
    for name in sorted(set(before) - set(after)):
        await store.add_edition(session, name, None)


async def export_section(session: Session) -> dict[str, Any]:
    """The rules and boards in force, as a section of a blueprint."""
    return (await _load_section(session)).content()


async def _load_section(session: Session) -> Section:
    rules, boards = await store.load_current_rules(session), await store.list_boards(session)
    return Section(rules=list(rules), leaderboards=list(boards))


async def publish_section_applied(session: Session, *, version: int | None) -> None:
    """Publishes the tenant's current section `gamification`. `version`: of the blueprint; None after an edit."""
    section = await _load_section(session)
    await publish_section(session, "gamification", version, section.content(), find_section_references(section))
