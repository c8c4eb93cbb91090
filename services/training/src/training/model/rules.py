"""From a band to a training: what an assignment rule says, and when it holds back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import Field

from training.model.content import Slug, Strict, Words

OPEN = ("assigned", "started")
DONE = ("completed", "failed")
STATUSES = (*OPEN, *DONE, "withdrawn")
LEFT_BAND = "the band was left before the training was started"


class Rule(Strict):
    """Who enters `band` of `kpi` is given `template`.

    `cooldown_days`: how long the same person is not given the same template again. `max_open`: with so many open
    assignments a person is given no further one. Of several rules for one band the higher `priority` comes first.
    `withdraw_when_left`: taken back when the band is left before the training was started.
    """

    rule: Slug
    title: Words | None = None
    kpi: Slug
    band: Slug
    template: Slug
    due_days: int | None = Field(None, ge=1, le=3650)
    cooldown_days: int = Field(0, ge=0, le=3650)
    max_open: int | None = Field(None, ge=1, le=1000)
    priority: int = 0
    active: bool = True
    withdraw_when_left: bool = True


@dataclass(frozen=True)
class Earlier:
    """An assignment the person already has or had. `corrected`: withdrawn because its band never was."""

    template: str
    status: str
    assigned_at: datetime
    corrected: bool


@dataclass(frozen=True)
class Skip:
    """Why a rule gave nothing: a stable slug, and a sentence."""

    reason: str
    detail: str


def in_order(rules: Sequence[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: (-rule.priority, rule.rule))


def why_not(rule: Rule, earlier: Sequence[Earlier], *, published: bool, now: datetime) -> Skip | None:
    """What keeps the rule from giving its training now; None: nothing does."""
    if not published:
        return Skip("template-not-published", f"Template `{rule.template}` has no published version.")
    same = [each for each in earlier if each.template == rule.template and not each.corrected]
    if any(each.status in OPEN for each in same):
        return Skip("already-open", f"`{rule.template}` is assigned to this person and not completed yet.")
    last = max((each.assigned_at for each in same), default=None)
    if last is not None and now < last + timedelta(days=rule.cooldown_days):
        until = last + timedelta(days=rule.cooldown_days)
        return Skip(
            "cooldown", f"`{rule.template}` was assigned at {last:%Y-%m-%d %H:%M}; again from {until:%Y-%m-%d}."
        )
    open_ones = sum(each.status in OPEN for each in earlier)
    if rule.max_open is not None and open_ones >= rule.max_open:
        return Skip("max-open", f"This person has {open_ones} open assignments; the rule allows {rule.max_open}.")
    return None


def due(days: int | None, now: datetime) -> datetime | None:
    return None if days is None else now + timedelta(days=days)
