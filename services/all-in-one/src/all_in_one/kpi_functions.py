"""Generates docs/kpi-functions.md from the table of functions, aggregates and operators (`kpi_engine.model.functions`)."""

from kpi_engine.model.functions import Aggregate, Function, Operator, Syntax, entries

_PREFACE = """\
# What a KPI may be made of

<!-- Generated from services/kpi-engine/src/kpi_engine/model/functions: `uplift docs --write`. -->

The `where` and `value` of a model are expressions over the columns of one fact; `value` has aggregates, which work over all
facts that count. Each line has an example over the columns of a leg. How a model is written: [guides/write-a-kpi.md](guides/write-a-kpi.md).

Numbers are exact. What is worked out of an unknown value is unknown, unless the line says otherwise, and a KPI that is unknown
has no value, with the reason. Both sides of `+`, `-` and a comparison are in one unit; a constant takes the unit of what it meets.
"""
_CHAPTERS = {
    "Aggregates": lambda entry: isinstance(entry, Aggregate),
    "Functions": lambda entry: isinstance(entry, Function),
    "Operators": lambda entry: not isinstance(entry, Aggregate | Function),
}


def render_kpi_functions() -> str:
    """The text of docs/kpi-functions.md."""
    written = [each for each in entries() if each.parsed_from]
    chapters = [
        f"\n## {title}\n\n| | | example |\n|---|---|---|\n" + "".join(_row(each) for each in written if belongs(each))
        for title, belongs in _CHAPTERS.items()
    ]
    return _PREFACE + "".join(chapters)


def _row(entry: Syntax) -> str:
    name = entry.shown if isinstance(entry, Operator) else entry.name
    return f"| `{name}` | {entry.description} | `{entry.example}` |\n"
