"""The blueprint section `gamification`: `{rules: [Rule …], leaderboards: [Leaderboard …]}`, and its validation."""

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.section_names import Names
from pydantic import ValidationError
from servicekit.blueprints.checking import Reference, SectionCheck, diff_sections, find_duplicates, find_unknown_names
from servicekit.errors import FieldProblem, suggest_name
from servicekit.strict_models import StrictModel
from servicekit.validation_problems import find_validation_problems

from gamification.model.boards import Leaderboard
from gamification.model.rules import BandLeftRule, Rule, TrainingCompletedRule

CURES = {
    "union_tag_not_found": "add `kind`",
    "union_tag_invalid": "one of: band_left, training_completed, improvement",
}
"""The cure of a validation error of a section, by its pydantic type."""


class Section(StrictModel):
    """Every rule and every board. What is not in it any more is retired; its points stay."""

    rules: list[Rule] = []
    leaderboards: list[Leaderboard] = []

    def content(self) -> dict[str, Any]:
        """The section as it is exported."""
        return self.model_dump(mode="json")


def find_contradictions(section: Section) -> list[FieldProblem]:
    """Names that occur twice, and rules that a board counts and the section lacks."""
    names = [rule.rule for rule in section.rules]
    return [
        *find_duplicates("rules", "rule", names),
        *find_duplicates("leaderboards", "leaderboard", [board.leaderboard for board in section.leaderboards]),
        *(
            problem
            for index, board in enumerate(section.leaderboards)
            for problem in check_board(board, names, f"/leaderboards/{index}")
        ),
    ]


def check_section(content: Mapping[str, Any] | None, present: dict[str, Any], names: Names) -> SectionCheck:
    """The check for `servicekit.blueprints.checking.SectionChecker`. `content` None: checks the current section,
    `present`, again."""
    try:
        section = Section.model_validate(present if content is None else content)
    except ValidationError as error:
        return SectionCheck(problems=find_validation_problems(error, content, Section, CURES))
    problems = [*find_contradictions(section), *find_unknown_names(find_section_references(section), names)]
    return SectionCheck(problems=problems, changes=diff_sections(present, section.content()))


def find_section_references(section: Section) -> list[Reference]:
    """Names of other services' resources in the section."""
    boards = [
        each
        for index, board in enumerate(section.leaderboards)
        for each in find_board_references(board, f"/leaderboards/{index}")
    ]
    return [*find_references(section.rules), *boards]


def find_references(rules: Sequence[Rule]) -> list[Reference]:
    """Names of other services' resources in a section's rules."""
    return [each for index, rule in enumerate(rules) for each in find_rule_references(rule, f"/rules/{index}")]


def find_rule_references(rule: Rule, at: str = "") -> list[Reference]:
    """Names of KPIs, bands and templates in a rule. `at`: JSON pointer of the rule."""
    if isinstance(rule, TrainingCompletedRule):
        return [] if rule.template is None else [Reference(f"{at}/template", "template", rule.template)]
    kpi = Reference(f"{at}/kpi", "KPI", rule.kpi)
    bands = rule.from_bands if isinstance(rule, BandLeftRule) else []
    return [kpi, *(Reference(f"{at}/from_bands/{i}", "band", band, (rule.kpi,)) for i, band in enumerate(bands))]


def find_board_references(board: Leaderboard, at: str = "") -> list[Reference]:
    """The org unit of a board, if it has one. `at`: JSON pointer of the board."""
    return [] if board.org_unit is None else [Reference(f"{at}/org_unit", "org unit", board.org_unit)]


def check_board(board: Leaderboard, rules: Sequence[str], pointer: str = "") -> list[FieldProblem]:
    """A problem for each rule that the board counts and `rules` lacks. `pointer`: JSON pointer of the board."""
    return [
        FieldProblem(
            pointer=f"{pointer}/rules/{index}",
            problem=f"there is no rule `{name}`",
            cure=suggest_name(name, rules) if rules else "add the rule first",
        )
        for index, name in enumerate(board.rules or [])
        if name not in rules
    ]
