"""The blueprint section `training`: `{templates: [Template …], rules: [Rule …]}`, and its validation."""

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.section_names import Names
from pydantic import ValidationError
from servicekit.blueprints.checking import Reference, SectionCheck, diff_sections, find_duplicates, find_unknown_names
from servicekit.errors import FieldProblem, suggest_name
from servicekit.strict_models import StrictModel
from servicekit.validation_problems import find_validation_problems

from training.model.content import Template
from training.model.rules import Rule


class Section(StrictModel):
    """All templates and all rules. Applying it publishes its templates, archives other templates and deletes other rules."""

    templates: list[Template] = []
    rules: list[Rule] = []

    def content(self) -> dict[str, Any]:
        """The section as it is exported."""
        templates = [
            {"template": each.template, **each.content().model_dump(mode="json", exclude_none=True)}
            for each in self.templates
        ]
        return {"templates": templates, "rules": [rule.model_dump(mode="json") for rule in self.rules]}


def find_contradictions(section: Section) -> list[FieldProblem]:
    """Duplicate names, and rules that name a template which the section does not have."""
    templates = [template.template for template in section.templates]
    return [
        *find_duplicates("templates", "template", templates),
        *find_duplicates("rules", "rule", [rule.rule for rule in section.rules]),
        *check_rules(section.rules, templates),
    ]


def check_section(content: Mapping[str, Any] | None, present: dict[str, Any], names: Names) -> SectionCheck:
    """Checks `content`, by default `present`, the section in force. A `servicekit.blueprints.checking.SectionChecker`."""
    try:
        section = Section.model_validate(present if content is None else content)
    except ValidationError as error:
        return SectionCheck(problems=find_validation_problems(error, content, Section))
    problems = [*find_contradictions(section), *find_unknown_names(find_references(section.rules), names)]
    return SectionCheck(problems=problems, changes=diff_sections(present, section.content()))


def find_references(rules: Sequence[Rule]) -> list[Reference]:
    """The KPIs and bands that these rules name, with pointers into the section."""
    return [each for index, rule in enumerate(rules) for each in find_rule_references(rule, f"/rules/{index}")]


def find_rule_references(rule: Rule, at: str = "") -> list[Reference]:
    """The KPI and band that a rule names; `at` is the JSON pointer of the rule."""
    if rule.kpi is None or rule.band is None:
        return []
    return [
        Reference(f"{at}/kpi", "KPI", rule.kpi),
        Reference(f"{at}/band", "band", rule.band, (rule.kpi,)),
    ]


def check_rules(rules: Sequence[Rule], templates: Sequence[str]) -> list[FieldProblem]:
    """A problem for each template that a rule names and that does not exist. `templates`: the names of the existing ones."""
    return [
        FieldProblem(
            pointer=f"/rules/{index}/{field}",
            problem=f"there is no template `{name}`",
            cure=suggest_name(name, templates) if templates else "add the template first",
        )
        for index, rule in enumerate(rules)
        for field, name in (("template", rule.template), ("of", rule.of))
        if name is not None and name not in templates
    ]


def check_unique(rules: Sequence[Rule]) -> list[FieldProblem]:
    """A problem for each rule whose name another rule before it has."""
    return find_duplicates("rules", "rule", [rule.rule for rule in rules])
