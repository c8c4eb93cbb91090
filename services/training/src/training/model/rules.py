"""Assignment rules, and the reasons for which one skips its training."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import Field, model_validator
from servicekit.strict_models import StrictModel

from training.model.content import LocalizedText, Slug

OPEN_STATUSES = ("assigned", "started")
DONE_STATUSES = ("completed", "failed")
STATUSES = (*OPEN_STATUSES, *DONE_STATUSES, "withdrawn")
STAYED_NO_LONGER = "there are no longer as many windows in the band"
LEFT_BAND = "the band was left before the training was started"


Trigger = Literal["entered", "stayed", "failed", "overdue"]


class Rule(StrictModel):
    """Who enters `band` of `kpi` is given `template`; or by another `trigger`:

    `stayed`: who is still in the band after `windows` windows with a value, counted from the entering, or from when the last training
    of this rule in this stay was done; with `of`, from when that training was done in this stay.
    `failed`, `overdue`: whose assignment, given for `kpi` and `band` or of the template `of`, was failed (its attempts
    are used up) or is overdue. A rule does not follow on assignments of its own.

    `cooldown_days`: how long the same person is not given the same template again. `max_open`: with so many open
    assignments a person is given no further one. Of several rules for one band the higher `priority` comes first.
    `withdraw_when_left`: taken back when the band is left before the training was started.
    """

    rule: Slug
    title: LocalizedText | None = None
    trigger: Trigger = Field(default="entered", description="What makes the rule give its training.")
    kpi: Slug | None = None
    band: Slug | None = None
    windows: int | None = Field(
        default=None, ge=1, le=366, description="With `stayed`: after how many windows in the band."
    )
    of: Slug | None = Field(
        None, description="With `stayed`, `failed` and `overdue`: the template that this follows on."
    )
    template: Slug
    due_days: int | None = Field(default=None, ge=1, le=3650)
    cooldown_days: int = Field(default=0, ge=0, le=3650)
    max_open: int | None = Field(default=None, ge=1, le=1000)
    priority: int = 0
    active: bool = True
    withdraw_when_left: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kpi is None) != (self.band is None):
            raise ValueError("`kpi` and `band` go together: add the other one")
        if self.trigger in ("entered", "stayed") and self.kpi is None:
            raise ValueError(f"`{self.trigger}` needs `kpi` and `band`")
        if self.trigger == "stayed" and self.windows is None:
            raise ValueError("`stayed` needs `windows`, after how many of them")
        if self.trigger != "stayed" and self.windows is not None:
            raise ValueError("`windows` is for the trigger `stayed` only: leave it out")
        if self.trigger == "entered" and self.of is not None:
            raise ValueError("`entered` follows on no training: leave `of` out, or choose another trigger")
        if self.kpi is None and self.of is None:
            raise ValueError(f"`{self.trigger}` needs `kpi` and `band`, or `of`")
        return self

    def follows(self, trigger: Trigger, *, rule: str | None, template: str, kpi: str | None, band: str | None) -> bool:
        """Whether this rule follows on an assignment that was failed or is overdue: of `template`, given by `rule` for the
        band. Never on one of its own, which would repeat for ever."""
        fits = self.kpi is None or (self.kpi, self.band) == (kpi, band)
        return self.active and self.trigger == trigger and self.rule != rule and fits and self.of in (None, template)


@dataclass(frozen=True)
class EarlierAssignment:
    """An assignment that the person has or had. `corrected`: as for `AssignmentRow`; such an assignment
    starts no cooldown."""

    template: str
    status: str
    assigned_at: datetime
    corrected: bool


SkipReason = Literal["template-not-published", "already-open", "cooldown", "max-open"]


@dataclass(frozen=True)
class Skip:
    """Why a rule skipped its training: a stable slug, and a sentence."""

    reason: SkipReason
    detail: str


def sort_by_priority(rules: Sequence[Rule]) -> list[Rule]:
    """The highest priority first, rules of one priority by name."""
    return sorted(rules, key=lambda rule: (-rule.priority, rule.rule))


def find_skip_reason(
    rule: Rule, earlier: Sequence[EarlierAssignment], *, published: bool, now: datetime
) -> Skip | None:
    """Why the rule must skip its training now; None: it assigns it. `earlier`: all assignments of the person, past and open."""
    if not published:
        return Skip("template-not-published", f"Template `{rule.template}` has no published version.")
    same = [each for each in earlier if each.template == rule.template and not each.corrected]
    if any(each.status in OPEN_STATUSES for each in same):
        return Skip("already-open", f"`{rule.template}` is assigned to this person and not completed yet.")
    last = max((each.assigned_at for each in same), default=None)
    if last is not None and now < last + timedelta(days=rule.cooldown_days):
        until = last + timedelta(days=rule.cooldown_days)
        return Skip(
            "cooldown", f"`{rule.template}` was assigned at {last:%Y-%m-%d %H:%M}; again from {until:%Y-%m-%d}."
        )
    open_count = sum(each.status in OPEN_STATUSES for each in earlier)
    if rule.max_open is not None and open_count >= rule.max_open:
        return Skip("max-open", f"This person has {open_count} open assignments; the rule allows {rule.max_open}.")
    return None


def compute_due_at(days: int | None, now: datetime) -> datetime | None:
    """So many days from now; None without days: never due."""
    return None if days is None else now + timedelta(days=days)
