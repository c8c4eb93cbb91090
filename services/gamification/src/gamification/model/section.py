"""The blueprint section `gamification`: `{rules: [Rule …], leaderboards: [Leaderboard …]}`, and what is wrong with one."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from servicekit.errors import FieldProblem, Invalid
from servicekit.shapes import shape_problems

from gamification.model.boards import Leaderboard
from gamification.model.rules import Rule, Strict

_CURES = {
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
        problems = shape_problems(error, content, Section, _CURES)
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
