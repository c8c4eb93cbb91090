"""Rules that grant points: for leaving a band, for a finished training, for improvement."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StringConstraints,
    TypeAdapter,
    WithJsonSchema,
)
from servicekit.strict_models import StrictModel


def _not_retired(retired: bool) -> bool:
    if retired:
        raise ValueError("a rule that is put is in force; DELETE retires it")
    return retired


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
LocalizedText = Annotated[dict[Language, Annotated[str, StringConstraints(min_length=1)]], Field(min_length=1)]
"""A text by language, at least one: `{"en": "Left the coaching band", "zh": "离开辅导区间"}`."""

Amount = Annotated[Decimal, Field(gt=0, le=1_000_000_000, decimal_places=20)]
"""Bounded in digits because arithmetic is exact: 1e-999999 would be a fraction with a million digits."""
Points = Annotated[int, Field(ge=1, le=1_000_000)]

NotRetired = Annotated[
    bool, AfterValidator(_not_retired), WithJsonSchema({"type": "boolean", "const": False, "title": "Retired"})
]
"""Only false is valid; `Literal[False]` would accept 0 as well."""


class _Rule(StrictModel):
    rule: Slug
    title: LocalizedText
    active: bool = True
    retired: NotRetired = Field(False, exclude=True)
    """Accepted so that a client can PUT what it read."""


class BandLeftRule(_Rule):
    """`points` for leaving one of `from_bands` of a KPI; with `to_better`, only for a better band."""

    kind: Literal["band_left"]
    kpi: Slug
    from_bands: Annotated[list[Slug], Field(min_length=1)]
    to_better: bool = True
    points: Points

    def rewards(self, kpi: str, band: str, rank: int, to_rank: int | None) -> bool:
        """Whether the rule rewards leaving `band` for the band of `to_rank` (None: for no band)."""
        if not self.active or kpi != self.kpi or band not in self.from_bands:
            return False
        return not self.to_better or (to_rank is not None and to_rank < rank)


class TrainingCompletedRule(_Rule):
    """`points` for a finished training: of one template, or of any. With `passed_only`, a failed quiz gives none."""

    kind: Literal["training_completed"]
    template: Slug | None = None
    points: Points
    passed_only: bool = True

    def rewards(self, template: str, passed: bool) -> bool:
        """Whether the rule rewards finishing a training of this template."""
        return self.active and self.template in (None, template) and (passed or not self.passed_only)


class ImprovementRule(_Rule):
    """Points for a workday that is better than the agent's own baseline.

    The baseline is the ratio of sums over the `baseline_days` workdays before with at least `min_sample`; with fewer
    such days there is none, and no points. `measure` says how the improvement is counted: in percent of the baseline,
    or in the KPI's own unit. From `min_improvement` on it gives `points`, or, with `step`, `points` for each whole
    step. A week gives at most `week_cap`, its earlier days first.
    """

    kind: Literal["improvement"]
    kpi: Slug
    points: Points
    measure: Literal["percent", "absolute"] = "percent"
    min_improvement: Amount
    step: Amount | None = None
    baseline_days: Annotated[int, Field(ge=1, le=60)] = 10
    min_sample: Annotated[int, Field(ge=1)] = 1
    week_cap: Points | None = None


Rule = Annotated[BandLeftRule | TrainingCompletedRule | ImprovementRule, Field(discriminator="kind")]


class _Read(BaseModel):
    """`retired`: it gives no more points, and is no part of a blueprint."""

    retired: bool = False


class ReadBandLeftRule(_Read, BandLeftRule):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A rule for leaving a band, and whether it is retired."""


class ReadTrainingCompletedRule(_Read, TrainingCompletedRule):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A rule for finished trainings, and whether it is retired."""


class ReadImprovementRule(_Read, ImprovementRule):  # pyright: ignore[reportIncompatibleVariableOverride]
    """A rule for improvement, and whether it is retired."""


ReadRule = Annotated[ReadBandLeftRule | ReadTrainingCompletedRule | ReadImprovementRule, Field(discriminator="kind")]
_read: TypeAdapter[ReadRule] = TypeAdapter(ReadRule)


def read_rule(rule: Rule, *, retired: bool = False) -> ReadRule:
    """The rule as the API shows it."""
    return _read.validate_python({**rule.model_dump(), "retired": retired})


@dataclass(frozen=True)
class Edition:
    """A rule from this edition on, until the next edition of the same rule. `body` None: retired."""

    edition: int
    rule: str
    body: Rule | None
