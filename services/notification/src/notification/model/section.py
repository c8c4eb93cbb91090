"""Validation of the blueprint section `notification`, and the changes that it would make."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from contracts.section_names import Names
from pydantic import ValidationError
from servicekit.blueprints.checking import Reference, SectionCheck, diff_sections, find_unknown_names
from servicekit.errors import FieldProblem
from servicekit.json_types import is_array
from servicekit.outbound import UrlPolicy
from servicekit.validation_problems import find_validation_problems

from notification.model.rules import NotificationSection, Rule, rule_problems, text_problems, webhook_problems
from notification.model.texts import DEFAULT_TEXTS

_KINDS = {"kpi": "KPI", "template": "template", "form": "form"}
_BANDS = ("band", "from_band", "to_band")
_RULES = {"assignment": "training rule", "points": "points rule"}


def check_section_content(
    section: NotificationSection, present: NotificationSection, policy: UrlPolicy
) -> list[FieldProblem]:
    """All problems of `section` together with `present`, the current one; pointers start at the section's root."""
    texts = section.texts if section.texts is not None else present.texts or {}
    rules = section.rules if section.rules is not None else present.rules or []
    return [
        *rule_problems(rules, {*DEFAULT_TEXTS, *texts}),
        *text_problems(section.texts or {}),
        *webhook_problems(section.webhooks or [], policy),
    ]


def build_section_check(
    policy: UrlPolicy,
) -> Callable[[dict[str, Any] | None, NotificationSection, Names], SectionCheck]:
    """The check for `servicekit.blueprints.checking.SectionChecker`."""
    return partial(check_section, policy)


def check_section(
    policy: UrlPolicy, content: dict[str, Any] | None, present: NotificationSection, names: Names
) -> SectionCheck:
    """Problems and changes of `content`; None: names in `present`, the current section, that no longer exist."""
    if content is None:
        return SectionCheck(problems=find_unknown_names(find_references(present.rules or []), names))
    try:
        section = NotificationSection.model_validate(content)
    except ValidationError as error:
        return SectionCheck(problems=find_validation_problems(error, content, NotificationSection))
    problems = [
        *check_section_content(section, present, policy),
        *find_unknown_names(find_references(section.rules or []), names),
    ]
    before = present.content()
    return SectionCheck(problems=problems, changes=diff_sections(before, before | section.content()))


def find_references(rules: Sequence[Rule]) -> list[Reference]:
    """Names that belong to other services: the values that `when` requires of fields such as `kpi`."""
    return [each for number, rule in enumerate(rules) for each in _find_rule_references(rule, f"/rules/{number}/when")]


def _find_rule_references(rule: Rule, at: str) -> list[Reference]:
    kpis = tuple(name for _, name in _find_texts(rule.when.get("kpi"), ""))
    found: list[Reference] = []
    for field, required in rule.when.items():
        kind = _KINDS.get(field) or (_RULES.get(rule.on.partition(".")[0]) if field == "rule" else None)
        for pointer, text in _find_texts(required, f"{at}/{field}"):
            if kind is not None:
                found.append(Reference(pointer, kind, text))
            elif field in _BANDS:
                found.append(Reference(pointer, "band", text, kpis))
    return found


def _find_texts(required: Any, pointer: str) -> list[tuple[str, str]]:
    """A text, or each text of a list, with its pointer."""
    if is_array(required):
        return [(f"{pointer}/{index}", each) for index, each in enumerate(required) if isinstance(each, str)]
    return [(pointer, required)] if isinstance(required, str) else []
