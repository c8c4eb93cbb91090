"""The blueprint section `training`: `{templates: [Template …], rules: [Rule …]}`, and what is wrong with one."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from servicekit.errors import FieldProblem, Invalid
from servicekit.shapes import shape_problems

from training.model.content import Strict, Template
from training.model.rules import Rule


class Section(Strict):
    """Every template, published at once, and every rule. What is not in it is archived or removed."""

    templates: list[Template] = []
    rules: list[Rule] = []


def parse_section(content: Mapping[str, Any]) -> Section:
    """Raises Invalid with every problem found."""
    try:
        section = Section.model_validate(content)
    except ValidationError as error:
        problems = shape_problems(error, content, Section)
        raise Invalid("bad-section", "The section `training` is not as it must be.", errors=problems) from error
    templates = [template.template for template in section.templates]
    problems = [
        *_twice("templates", "template", templates),
        *_twice("rules", "rule", [rule.rule for rule in section.rules]),
        *check_rules(section.rules, templates),
    ]
    if problems:
        raise Invalid("bad-section", "The section `training` contradicts itself.", errors=problems)
    return section


def check_rules(rules: Sequence[Rule], templates: Sequence[str]) -> list[FieldProblem]:
    """Rules that name a template that does not exist."""
    return [
        FieldProblem(
            pointer=f"/rules/{index}/template",
            problem=f"there is no template `{rule.template}`",
            cure=f"one of: {', '.join(sorted(templates))}" if templates else "add the template first",
        )
        for index, rule in enumerate(rules)
        if rule.template not in templates
    ]


def check_unique(rules: Sequence[Rule]) -> list[FieldProblem]:
    return _twice("rules", "rule", [rule.rule for rule in rules])


def _twice(list_name: str, key: str, names: Sequence[str]) -> list[FieldProblem]:
    return [
        FieldProblem(pointer=f"/{list_name}/{index}/{key}", problem=f"`{name}` is there twice", cure="rename one")
        for index, name in enumerate(names)
        if name in names[:index]
    ]
