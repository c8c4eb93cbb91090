"""The blueprint section `gamification`: `{rules: [Rule …], leaderboards: [Leaderboard …]}`, and what is wrong with one."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from servicekit.errors import FieldProblem, Invalid

from gamification.model.boards import Leaderboard
from gamification.model.rules import Rule, Strict

_CURES = {
    "missing": "add it",
    "extra_forbidden": "remove it",
    "union_tag_not_found": "add `kind`",
    "union_tag_invalid": "one of: band_left, training_completed, improvement",
}


class Section(Strict):
    """Every rule and every board. What is not in it any more is retired; its points stay."""

    rules: list[Rule] = []
    leaderboards: list[Leaderboard] = []


def parse_section(content: Mapping[str, Any]) -> Section:
    """Raises Invalid with every problem found."""
    try:
        section = Section.model_validate(content)
    except ValidationError as error:
        problems = [
            FieldProblem(
                pointer=_pointer(content, each["loc"]),
                problem=each["msg"],
                cure=_CURES.get(each["type"], f"got {str(each.get('input'))[:60]}"),
            )
            for each in error.errors()
        ]
        raise Invalid("bad-section", "The section `gamification` is not as it must be.", errors=problems) from error
    names = [rule.rule for rule in section.rules]
    problems = [
        *twice("rules", "rule", names),
        *twice("leaderboards", "leaderboard", [board.leaderboard for board in section.leaderboards]),
        *(
            problem
            for index, board in enumerate(section.leaderboards)
            for problem in check_board(board, names, f"/leaderboards/{index}")
        ),
    ]
    if problems:
        raise Invalid("bad-section", "The section `gamification` contradicts itself.", errors=problems)
    return section


def twice(list_name: str, key: str, names: Sequence[str]) -> list[FieldProblem]:
    return [
        FieldProblem(pointer=f"/{list_name}/{index}/{key}", problem=f"`{name}` is there twice", cure="rename one")
        for index, name in enumerate(names)
        if name in names[:index]
    ]


def check_board(board: Leaderboard, rules: Sequence[str], pointer: str = "") -> list[FieldProblem]:
    """Rules a board counts that do not exist."""
    return [
        FieldProblem(
            pointer=f"{pointer}/rules/{index}",
            problem=f"there is no rule `{name}`",
            cure=f"one of: {', '.join(sorted(rules))}" if rules else "add the rule first",
        )
        for index, name in enumerate(board.rules or [])
        if name not in rules
    ]


def _pointer(content: Any, loc: Sequence[int | str]) -> str:
    """The place in the content itself: the validator also names the kind of rule it tried, which is no key."""
    found, here = "", content
    for number, part in enumerate(loc):
        inside = isinstance(here, Mapping) and part in here
        if isinstance(part, int) or inside or number == len(loc) - 1:
            found += f"/{part}"
            here = here[part] if inside or (isinstance(part, int) and isinstance(here, list)) else None
    return found
