"""The document: places of problems, and what the standard models compute on a worked example."""

from importlib.resources import files

import pytest
from kpi_engine.model.document import parse_model, parse_model_content
from kpi_engine.model.document_text import ModelInvalid

MODEL = """\
kpi: silence_pct
title: {en: "% Silence", zh: "静默占比"}
unit: percent
direction: lower_is_better
source: legs
where: >
  channel = 'voice'
  and conversation_ms > 0
value: 100 * sum(silence()) / sum(conversation_ms)
min_sample: 20
bands:
  window: workday
  enter: {x: 3, of: 5}
  leave: {x: 3, of: 5}
  edges: [{name: good, from: 0}, {name: watch, from: 40}, {name: coach, from: 60}]
targets:
  - {when: "tenure_days < 90", edges: [{name: good, from: 0}, {name: coach, from: 70}]}
"""


def problems_of(text: str):
    with pytest.raises(ModelInvalid) as caught:
        parse_model(text)
    return caught.value.problems


def test_yaml_and_json_give_the_same_model():
    model = parse_model(MODEL)
    assert parse_model_content(model.content).content == model.content
    assert model.bands is not None
    assert [band.rank for band in model.bands.edges] == [0, 1, 2]
    assert model.bands.targets[0].edges[1].rank == 2


@pytest.mark.parametrize(
    ("old", "new", "place", "says", "cure"),
    [
        ("conversation_ms > 0", "conversatin_ms > 0", (8, 7, "/where"), "no column", "conversation_ms"),
        ("sum(conversation_ms)", "sum(conversation)", (9, 35, "/value"), "no column", "conversation_ms"),
        ("min_sample", "min_samples", (10, 1, "/min_samples"), "no `min_samples`", "min_sample"),
        ("source: legs", "source: leg", (5, 9, "/source"), "not valid", "'legs'"),
        ("unit: percent", "unit: ms", (3, 7, "/unit"), "does not fit", ""),
        ("direction: lower_is_better\n", "", (1, 1, "/direction"), "missing", ""),
        ("from: 60", "from: 40", (15, 79, "/bands/edges/2/from"), "must grow", ""),
        ("enter: {x: 3", "enter: {x: 7", (13, 10, "/bands/enter"), "can never be", ""),
        ("window: workday", "window: month", (12, 11, "/bands/window"), "no window", "week"),
        ("tenure_days < 90", "tenur < 90", (17, 13, "/targets/0/when"), "no column", "tenure_days"),
        ("{name: coach, from: 70}", "{name: coch, from: 70}", (17, 70, "/targets/0/edges/1/name"), "no band", "coach"),
        ("kpi: silence_pct", "kpi: [", (3, 1, ""), "Not YAML", ""),
        ("min_sample: 20", "min_sample: 0", (10, 13, "/min_sample"), "greater than", ""),
    ],
)
def test_a_problem_names_its_place_and_cure(old, new, place, says, cure):
    assert old in MODEL
    problem = problems_of(MODEL.replace(old, new, 1))[0]
    assert (problem.line, problem.column, problem.pointer) == place
    assert says in problem.problem
    assert cure in problem.cure


def test_a_problem_in_json_has_its_place_too():
    text = '{\n\t"kpi": "x", "title": {"en": "X"}, "unit": "ms", "direction": "lower_is_better",\n\t"source": "legs", "value": "sum(talk)"\n}'
    problem = problems_of(text)[0]
    assert (problem.line, problem.column) == (3, 34)


def test_an_alias_and_a_heap_of_brackets_are_refused():
    assert "aliases" in problems_of("kpi: &a x\nvalue: *a")[0].problem
    assert problems_of("[" * 5000)
    assert problems_of("kpi: " + "[" * 3000)
    assert problems_of("- 1")
    assert problems_of("")


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ("skill = 'a'", "skill = 'b'", True),
        ("tenure_days < 90", "tenure_days >= 90", False),
        ("tenure_days < 90", "tenure_days > 80", True),
        ("employment = 'full_time'", "employment in ('part_time')", False),
        ("skill = 'a' and tenure_days < 90", "skill = 'a'", False),
    ],
)
def test_targets_that_tie_are_refused(first: str, second: str, refused: bool):
    line = '  - {{when: "{}", edges: [{{name: good, from: 0}}]}}\n'
    text = MODEL[: MODEL.index("targets:")] + "targets:\n" + line.format(first) + line.format(second)
    if refused:
        assert "equally specific" in problems_of(text)[0].problem
        parse_model(text.replace(f'when: "{second}"', f'when: "{second}", priority: 1'))
    else:
        parse_model(text)


# Three handled legs (talk, hold, acw, handle, conversation, silence), one of them transferred; one caller gave up.
LEGS = [
    (100_000, 20_000, 30_000, 150_000, 120_000, 60_000),
    (200_000, 0, 10_000, 210_000, 200_000, 150_000),
    (60_000, 40_000, 20_000, 120_000, 80_000, 20_000),
]


def components(model, rows: list[dict[str, int | None]]):
    """Components by hand: every aggregate of the standard models is over one column."""
    found = []
    for component in model.plan.components:
        name = component.name.partition("(")[2].removesuffix(")")
        known = [value for row in rows if name != "*" and (value := row[name]) is not None]
        found.append(len(rows) if name == "*" else sum(known) if component.kind == "sum" else len(known))
    return found


@pytest.mark.parametrize(
    ("kpi", "value", "numerator", "denominator"),
    [
        ("aht", "160", 480_000, 3000),  # (150 + 210 + 120) / 3 s
        ("talk", "120", 360_000, 3000),  # (100 + 200 + 60) / 3 s
        ("hold", "20", 60_000, 3000),  # (20 + 0 + 40) / 3 s, the leg without hold counts
        ("acw", "20", 60_000, 3000),  # (30 + 10 + 20) / 3 s
        ("silence_pct", "57.5", 23_000_000, 400_000),  # 230 s of 400 s
        ("transfer_rate", "33.3333", 100, 3),  # 1 of 3
        ("abandonment", "50", 200, 4),  # 2 of 4 callers, one of them in the second queue
    ],
)
def test_a_standard_model_on_the_worked_example(kpi: str, value: str, numerator: int, denominator: int):
    model = parse_model(files("kpi_engine").joinpath(f"standard/{kpi}.yaml").read_text(encoding="utf-8"))
    names = ("talk_ms", "hold_ms", "acw_ms", "handle_ms", "conversation_ms", "silence()")
    rows: list[dict[str, int | None]] = [dict(zip(names, leg, strict=True)) for leg in LEGS]
    for number, row in enumerate(rows):
        row |= {"transferred": int(number == 0), "abandoned": 0, "first_leg": 1}
    if kpi == "abandonment":
        rows.append({"abandoned": 1, "first_leg": 1})
        rows.append({"abandoned": 1, "first_leg": 0})
    answer = model.plan.compute_value(components(model, rows), len(rows))
    assert (answer.text, answer.numerator, answer.denominator) == (value, numerator, denominator)
