"""Rules and boards, edited one by one or brought by a blueprint."""

from collections.abc import Mapping, Sequence
from typing import Any

from servicekit.audit import record_change, record_changes
from servicekit.blueprints import reject_section, require_known_names, tell_section
from servicekit.errors import Conflict, Invalid, NotFound
from storage import Session

from gamification.model.boards import Leaderboard
from gamification.model.rules import Rule
from gamification.model.section import (
    Section,
    check_board,
    find_board_references,
    find_duplicates,
    find_references,
    find_rule_references,
    parse_section,
    references_of_section,
)
from gamification.store import rules as store


async def put_rule(session: Session, rule: Rule) -> None:
    """Counts from now on; what past days were worth stays as it was. Raises Invalid when it names what does not exist."""
    await require_known_names(session, find_rule_references(rule))
    await store.lock_rules(session)
    current = {each.rule: each for each in await store.load_current_rules(session)}
    if current.get(rule.rule) != rule:
        await store.add_edition(session, rule.rule, rule)
    record_change(session, "rule", rule.rule, before=current.get(rule.rule), after=rule)
    await _publish_section_applied(session)


async def retire_rule(session: Session, name: str) -> None:
    """Gives no more points; those it gave stay. Raises NotFound, and Conflict while a board counts it."""
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
    await _publish_section_applied(session)


async def replace_rules(session: Session, rules: Sequence[Rule]) -> None:
    """All rules at once; those not named are retired. Raises Invalid and changes nothing when one is wrong."""
    names = [rule.rule for rule in rules]
    problems = find_duplicates("rules", "rule", names)
    for board in await store.list_boards(session):
        problems += check_board(board, names, f"/leaderboards/{board.leaderboard}")
    if problems:
        raise Invalid("bad-rules", "; ".join(each.problem for each in problems), errors=problems)
    await require_known_names(session, find_references(rules))
    await _replace(session, rules)
    await _publish_section_applied(session)


async def put_board(session: Session, board: Leaderboard) -> None:
    """Raises Invalid when it counts a rule, or is of an org unit, that does not exist."""
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
    await store.put_board(session, board)
    await _publish_section_applied(session)


async def remove_board(session: Session, name: str) -> None:
    """Raises NotFound."""
    before = await store.find_board(session, name)
    if before is None or not await store.delete_board(session, name):
        raise NotFound("unknown-leaderboard", f"There is no leaderboard `{name}`.")
    record_change(session, "leaderboard", name, before=before)
    await _publish_section_applied(session)


async def apply_blueprint(session: Session, version: int, content: Mapping[str, Any]) -> None:
    """Applies the section whole or not at all, and answers."""
    try:
        section = parse_section(content)
    except Invalid as invalid:
        reject_section(session, version, invalid.errors)
        return
    await _replace(session, section.rules)
    boards = {each.leaderboard: each for each in await store.list_boards(session)}
    record_changes(session, "leaderboard", boards, {each.leaderboard: each for each in section.leaderboards})
    await store.replace_boards(session, section.leaderboards)
    await _publish_section_applied(session, version)


async def _replace(session: Session, rules: Sequence[Rule]) -> None:
    await store.lock_rules(session)
    current = {each.rule: each for each in await store.load_current_rules(session)}
    wanted = {each.rule: each for each in rules}
    record_changes(session, "rule", current, wanted)
    for name, rule in sorted(wanted.items()):
        if current.get(name) != rule:
            await store.add_edition(session, name, rule)
    for name in sorted(set(current) - set(wanted)):
        await store.add_edition(session, name, None)


async def export_section(session: Session) -> dict[str, Any]:
    """Everything that is in force, in the form in which a blueprint holds it."""
    return (await _section(session)).content()


async def _section(session: Session) -> Section:
    rules, boards = await store.load_current_rules(session), await store.list_boards(session)
    return Section(rules=list(rules), leaderboards=list(boards))


async def _publish_section_applied(session: Session, version: int | None = None) -> None:
    section = await _section(session)
    await tell_section(session, "gamification", version, section.content(), references_of_section(section))
