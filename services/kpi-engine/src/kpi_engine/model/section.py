"""The blueprint section `kpi-engine`, and its validation."""

from typing import Any

import yaml
from contracts.section_names import Names
from pydantic import RootModel
from servicekit.blueprints.checking import SectionCheck, diff_sections, find_unknown_names
from servicekit.errors import FieldProblem
from servicekit.json_types import is_array, is_object

from kpi_engine.model.document import Model, parse_model_content
from kpi_engine.model.document_text import ModelInvalid
from kpi_engine.model.references import find_references

MAX_MODELS = 200


class SectionContent(RootModel[dict[str, Any]]):
    """A section as it was published; `parse_section` validates it."""


def parse_section(content: dict[str, Any]) -> tuple[list[tuple[Model, str]], list[FieldProblem]]:
    """The models of a section, each with its text as YAML, and the problems."""
    found: list[tuple[Model, str]] = []
    problems = [
        FieldProblem(pointer=f"/{name}", problem=f"There is no `{name}` in this section.", cure="It holds `kpis`.")
        for name in sorted(set(content) - {"kpis"})
    ]
    kpis: Any = content.get("kpis", [])
    if not is_array(kpis):
        return [], [*problems, FieldProblem(pointer="/kpis", problem="`kpis` is a list of KPI models.")]
    if len(kpis) > MAX_MODELS:
        problem = FieldProblem(pointer="/kpis", problem=f"More than {MAX_MODELS} models.", cure="Leave some out.")
        return [], [*problems, problem]
    names: set[str] = set()
    for index, document in enumerate(kpis):
        try:
            model = parse_model_content(document)
        except ModelInvalid as invalid:
            problems += [
                FieldProblem(pointer=f"/kpis/{index}{each.pointer}", problem=each.problem, cure=each.cure)
                for each in invalid.problems
            ]
            continue
        if model.kpi in names:
            problems.append(FieldProblem(pointer=f"/kpis/{index}/kpi", problem=f"`{model.kpi}` is there twice."))
        names.add(model.kpi)
        found.append((model, yaml.dump(model.content, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)))
    return found, problems


def check_section(content: dict[str, Any] | None, present: dict[str, Any], names: Names) -> SectionCheck:
    """Checks `content`, by default `present`, the section in force. A `servicekit.blueprints.checking.SectionChecker`."""
    section = present if content is None else content
    found, problems = parse_section(section)
    models = {model.kpi: model for model, _ in found}
    kpis: list[Any] = section["kpis"] if found else []
    places = [(f"/kpis/{index}", each.get("kpi")) for index, each in enumerate(kpis) if is_object(each)]
    named = [
        each
        for at, kpi in places
        if isinstance(kpi, str) and kpi in models
        for each in find_references(models[kpi], at)
    ]
    after = {"kpis": [model.content for model in models.values()]}
    shown = [*([] if content is None else problems), *find_unknown_names(named, names)]
    return SectionCheck(problems=shown, changes=diff_sections(present, after))
