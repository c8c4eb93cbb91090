"""The section `kpi-engine` of a blueprint."""

from typing import Any

import yaml
from servicekit.errors import FieldProblem

from kpi_engine.model.document import Model, load_content
from kpi_engine.model.places import ModelInvalid

MOST_MODELS = 200


def read_section(content: dict[str, Any]) -> tuple[list[tuple[Model, str]], list[FieldProblem]]:
    """The models of a section, each with its text as YAML, and all that is wrong with it."""
    found: list[tuple[Model, str]] = []
    problems = [
        FieldProblem(pointer=f"/{name}", problem=f"There is no `{name}` in this section.", cure="It holds `kpis`.")
        for name in sorted(set(content) - {"kpis"})
    ]
    kpis = content.get("kpis", [])
    if not isinstance(kpis, list):
        return [], [*problems, FieldProblem(pointer="/kpis", problem="`kpis` is a list of KPI models.")]
    if len(kpis) > MOST_MODELS:
        problem = FieldProblem(pointer="/kpis", problem=f"More than {MOST_MODELS} models.", cure="Leave some out.")
        return [], [*problems, problem]
    names: set[str] = set()
    for index, document in enumerate(kpis):
        try:
            model = load_content(document)
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
