"""Parses the document of a KPI model, YAML or JSON, into a checked model, or into problems with line and column."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError
from servicekit.door.cures import cure_of, strip_validator_prefix
from servicekit.json_types import is_array, is_object
from servicekit.nesting import is_deeper_than
from servicekit.strict_models import StrictAliasedModel

from kpi_engine.model import targets, without_agent
from kpi_engine.model.bands import BandRules, Bands, LastLegs
from kpi_engine.model.columns import SOURCE_COLUMNS, WITH_ATTRIBUTES, WITH_GAPS
from kpi_engine.model.document_text import MAX_DEPTH, DocumentText, ModelInvalid, Problem
from kpi_engine.model.expression import parse
from kpi_engine.model.functions import Scope, aggregates_in, text_of
from kpi_engine.model.plan import Plan, Value
from kpi_engine.model.problem import ExpressionProblem, nearest
from kpi_engine.model.targets import Band, Target
from kpi_engine.model.tree import Node

MAX_DOCUMENT_CHARS = 65536
MAX_TARGET_CHARS = 16_000
MAX_PROBLEMS = 100
Direction = Literal["higher_is_better", "lower_is_better", "target_area"]
Unit = Literal["percent", "ratio", "count", "ms", "seconds", "minutes", "hours", "score"]
_TIME = ("ms", "seconds", "minutes", "hours")

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Number = Annotated[
    Decimal,
    Field(allow_inf_nan=False, max_digits=18, decimal_places=6),
    BeforeValidator(lambda value: str(value) if isinstance(value, float) else value),
    PlainSerializer(lambda value: int(value) if value == int(value) else float(value), return_type=int | float),
]


class EdgePart(StrictAliasedModel):
    """A band begins at `from` and ends where the next begins; without `from` the first one has no lower end."""

    name: Slug
    from_: Number | None = Field(default=None, alias="from")
    rank: int | None = Field(default=None, ge=0, description="Only for target_area: 0 is the best band.")
    title: dict[str, str] | None = Field(
        default=None,
        min_length=1,
        description="What people read, by language, as {en: Coaching, zh: 辅导}. Left out: the usual one of this name.",
    )


class TimesPart(StrictAliasedModel):
    """`x` of the last `of` windows."""

    x: int = Field(ge=1, le=366)
    of: int = Field(ge=1, le=366)


class BandsPart(StrictAliasedModel):
    """Over which windows bands are told, and when one is entered and left."""

    window: str = Field(default="workday", description="`workday`, `week`, or `last N legs`")
    enter: TimesPart = TimesPart(x=1, of=1)
    leave: TimesPart = TimesPart(x=1, of=1)
    edges: list[EdgePart] = Field(min_length=1, max_length=20)


class TargetPart(StrictAliasedModel):
    """Other edges for the people of whom the condition `when` holds. The highest `priority` of equally specific ones wins."""

    when: str
    edges: list[EdgePart] = Field(min_length=1, max_length=20)
    priority: int = 0


class KpiDocument(StrictAliasedModel):
    """A KPI model as a tenant writes it."""

    kpi: Slug
    title: dict[str, str] = Field(min_length=1)
    unit: Unit
    direction: Direction
    source: Literal["legs", "agent_states", "submissions"]
    where: str | None = None
    value: str
    min_sample: int = Field(default=1, ge=1, le=1_000_000)
    bands: BandsPart | None = None
    targets: list[TargetPart] = Field(default=[], max_length=100)


@dataclass(frozen=True)
class Model:
    """A checked model: its document, its plan, its bands."""

    document: KpiDocument
    plan: Plan
    bands: Bands | None

    @property
    def kpi(self) -> str:
        """The KPI's slug."""
        return self.document.kpi

    @property
    def source(self) -> str:
        """The kind of facts: legs, agent_states or submissions."""
        return self.document.source

    @cached_property
    def counts_without_agent(self) -> bool:
        """Whether facts without an agent may contribute to the value."""
        return self.source == "legs" and without_agent.counts_without_agent(self.plan)

    @cached_property
    def only_without_agent(self) -> bool:
        """Whether only facts without an agent contribute to the value, so that agents and teams have none."""
        return self.source == "legs" and without_agent.only_without_agent(self.plan)

    def compute_agent_value(
        self, components: Sequence[Decimal | int | None], sample: int, *, parts: bool = False
    ) -> Value:
        """As `Plan.compute_value`, over facts of agents only."""
        answer = self.plan.compute_value(components, sample, parts=parts)
        return (
            replace(answer, value=None, reason=without_agent.NO_VALUE_REASON)
            if self.only_without_agent and sample
            else answer
        )

    @cached_property
    def content(self) -> dict[str, Any]:
        """The document as plain JSON: equal for equal models, however they were written."""
        return self.document.model_dump(mode="json", by_alias=True, exclude_none=True)


def parse_model(text: str) -> Model:
    """Parses YAML or JSON. Raises ModelInvalid with every problem found."""
    if len(text) > MAX_DOCUMENT_CHARS:
        raise ModelInvalid(
            [Problem("", f"The document is longer than {MAX_DOCUMENT_CHARS} characters.", line=1, column=1)]
        )
    source = DocumentText.parse(text)
    if unstorable := list(_find_unstorable(source.data, ())):
        raise ModelInvalid(
            [source.build_problem(path, "A character here cannot be stored.", "Remove it.") for path in unstorable]
        )
    try:
        document = KpiDocument.model_validate(source.data)
    except ValidationError as error:
        raise ModelInvalid([_structure_problem(source, found) for found in error.errors()[:MAX_PROBLEMS]]) from None
    except RecursionError:
        raise ModelInvalid([Problem("", "The document is nested too deeply.", line=1, column=1)]) from None
    checker = _Checker(source, document)
    model = checker.build_model()
    if checker.problems:
        raise ModelInvalid(checker.problems)
    return model


def _find_unstorable(data: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """The paths of texts with NUL or half a surrogate pair: escapes can write both, and PostgreSQL stores neither."""
    if isinstance(data, str) and re.search("[\x00\ud800-\udfff]", data):
        yield path
    elif is_object(data):
        for name, value in data.items():
            yield from _find_unstorable(name, path)
            yield from _find_unstorable(value, (*path, name))
    elif is_array(data):
        for number, value in enumerate(data):
            yield from _find_unstorable(value, (*path, number))


def parse_model_content(content: Any) -> Model:
    """As `parse_model`, for a document that is plain JSON already (part of a blueprint)."""
    if is_deeper_than(content, MAX_DEPTH):
        raise ModelInvalid([Problem("", "The document is nested too deeply.", "Write it flatter.")])
    return parse_model(json.dumps(content, indent=2, ensure_ascii=False))


def _structure_problem(source: DocumentText, found: Any) -> Problem:
    path = tuple(step for step in found["loc"] if step != "[key]")
    if found["type"] == "extra_forbidden":
        part = _part_at(path[:-1])
        valid = [field.alias or name for name, field in part.model_fields.items()]
        return source.build_problem(path, f"There is no `{path[-1]}` here.", nearest(str(path[-1]), valid), key=True)
    if found["type"] == "missing":
        return source.build_problem(path, f"`{path[-1]}` is missing.")
    if found["type"] == "literal_error":
        cure = f"One of: {found['ctx']['expected']}."
        return source.build_problem(path, f"`{found['input']}` is not valid for `{path[-1]}`.", cure)
    return source.build_problem(path, f"{strip_validator_prefix(found['msg'])}.", cure_of(found))


def _part_at(path: tuple[str | int, ...]) -> type[StrictAliasedModel]:
    names = [step for step in path if isinstance(step, str)]
    if names and names[-1] == "edges":
        return EdgePart
    if names and names[-1] in ("enter", "leave"):
        return TimesPart
    return {"bands": BandsPart, "targets": TargetPart}.get(names[0], KpiDocument) if names else KpiDocument


class _Checker:
    def __init__(self, source: DocumentText, document: KpiDocument) -> None:
        self.source = source
        self.document = document
        self.problems: list[Problem] = []

    def add_problem(self, path: tuple[str | int, ...], problem: str, cure: str = "", at: int | None = None) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            return
        self.problems.append(self.source.build_problem(path, problem, cure, at=at))

    def parse_expression(self, path: tuple[str | int, ...], text: str, scope: Scope) -> tuple[Node, bool]:
        node, problems = parse(text, scope)
        for found in problems:
            self.add_expression_problem(path, found)
        return node, not problems

    def add_expression_problem(self, path: tuple[str | int, ...], found: ExpressionProblem) -> None:
        self.add_problem(path, found.problem, found.cure, found.at)

    def build_model(self) -> Model:
        document = self.document
        if sum(len(target.when) for target in document.targets) > MAX_TARGET_CHARS:
            self.add_problem(("targets",), f"The conditions are longer than {MAX_TARGET_CHARS} characters together.")
            return Model(document, Plan(None, Node("null")), None)
        columns = SOURCE_COLUMNS[document.source]
        with_attributes, with_gaps = document.source in WITH_ATTRIBUTES, document.source in WITH_GAPS
        where = None
        if document.where is not None:
            where, fine = self.parse_expression(
                ("where",), document.where, Scope(columns, False, with_attributes, with_gaps)
            )
            if fine and where.type.kind != "flag":
                self.add_problem(("where",), f"`where` wants a condition, this is a {where.type.kind}.")
        value, fine = self.parse_expression(
            ("value",), document.value, Scope(columns, True, with_attributes, with_gaps)
        )
        if fine:
            self.check_value(value)
        if document.targets and document.bands is None:
            self.add_problem(("targets",), "Targets override the edges of bands, and there are none.", "Add `bands`.")
        return Model(document, Plan(where, value), self.build_bands() if document.bands else None)

    def check_value(self, value: Node) -> None:
        if value.type.kind != "number":
            self.add_problem(("value",), f"`value` wants a number, this is a {value.type.kind}.")
            return
        if not aggregates_in(value):
            self.add_problem(("value",), "`value` has no aggregate.", "E.g. `sum(talk_ms) / count(*)`.")
            return
        unit, declared = value.type.unit or (), self.document.unit
        if declared in _TIME:
            fits = unit == (("ms", 1),)
        elif declared == "score":
            fits = unit in ((("score", 1),), ())
        else:
            fits = unit == ()
        if not fits:
            said = " · ".join(f"{name}^{power}" if power != 1 else name for name, power in unit) or "a plain number"
            self.add_problem(("unit",), f"`{declared}` does not fit: `{text_of(value)}` gives {said}.")

    def build_bands(self) -> Bands | None:
        part = self.document.bands
        assert part is not None
        for name in ("enter", "leave"):
            times: TimesPart = getattr(part, name)
            if times.x > times.of:
                self.add_problem(("bands", name), f"{times.x} of {times.of} can never be.", "`x` is at most `of`.")
        legs = re.fullmatch(r"last ([1-9]\d{0,3}) legs", part.window)
        if not legs and part.window not in ("workday", "week"):
            self.add_problem(
                ("bands", "window"), f"There is no window `{part.window}`.", "`workday`, `week` or `last N legs`."
            )
        if legs and self.document.source != "legs":
            self.add_problem(("bands", "window"), "Only the source `legs` has legs.", "`workday` or `week`.")
        if legs and int(legs[1]) < self.document.min_sample:
            self.add_problem(("bands", "window"), "The window holds fewer legs than `min_sample` wants.")
        own = self.build_edges(("bands", "edges"), part.edges)
        ranks = {band.name: band.rank for band in own}
        found: list[Target] = []
        for index, target in enumerate(self.document.targets):
            path: tuple[str | int, ...] = ("targets", index)
            edges = self.build_edges((*path, "edges"), target.edges, ranks)
            selector, problems = targets.parse_selector(target.when)
            for problem in problems:
                self.add_expression_problem((*path, "when"), problem)
            if not problems:
                found.append(Target(index, target.when, selector, target.priority, edges))
        for first, second in targets.find_ties(found):
            self.add_problem(
                ("targets", second.index, "when"),
                f"`{second.when}` and `{first.when}` are equally specific, and one person may fit both.",
                "Give one of them a `priority`.",
            )
        window = LastLegs(int(legs[1])) if legs else part.window
        rules = BandRules(part.enter.x, part.enter.of, part.leave.x, part.leave.of)
        return Bands(window, rules, self.document.min_sample, own, tuple(found))

    def build_edges(  # noqa: C901, PLR0912 - a list of rules about one edge
        self, path: tuple[str | int, ...], edges: list[EdgePart], ranks: dict[str, int] | None = None
    ) -> tuple[Band, ...]:
        """Bands in ascending order. With `ranks` (a target's) the names must be among them."""
        direction = self.document.direction
        bands: list[Band] = []
        for index, edge in enumerate(edges):
            place = (*path, index)
            if edge.from_ is None and index:
                self.add_problem(place, "Only the first band may leave out `from`.")
            if (
                index
                and edge.from_ is not None
                and (before := edges[index - 1].from_) is not None
                and edge.from_ <= before
            ):
                self.add_problem((*place, "from"), f"`from` must grow: {edge.from_} does not come after {before}.")
            if ranks is not None:
                if edge.name not in ranks:
                    self.add_problem(
                        (*place, "name"), f"The model has no band `{edge.name}`.", nearest(edge.name, list(ranks))
                    )
                if edge.rank is not None:
                    self.add_problem((*place, "rank"), "A target takes the ranks of the model's bands.")
                if edge.title is not None:
                    self.add_problem(
                        (*place, "title"), "A target takes the titles of the model's bands.", "Leave it out."
                    )
                rank = ranks.get(edge.name, 0)
            elif direction == "target_area":
                if edge.rank is None:
                    self.add_problem(place, "With `target_area` every band needs a `rank`.", "0 is the best.")
                rank = edge.rank or 0
            else:
                if edge.rank is not None:
                    self.add_problem((*place, "rank"), f"With `{direction}` the order of the bands is their rank.")
                rank = index if direction == "lower_is_better" else len(edges) - 1 - index
            bands.append(Band(edge.name, edge.from_, rank, edge.title))
        for index, edge in enumerate(edges):
            if edge.name in [other.name for other in edges[:index]]:
                self.add_problem((*path, index, "name"), f"The band `{edge.name}` is there twice.")
        return tuple(bands)
