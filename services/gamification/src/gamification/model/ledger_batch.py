"""The part of the ledger that one transaction works on: existing grants, and entries to add."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from contracts import Attributes, new_id
from contracts.envelope import ReasonValues

from gamification.model.rules import BandLeftRule, ImprovementRule, TrainingCompletedRule


@dataclass(frozen=True)
class Entry:
    """A grant of points, or the reversal of the grant `reverses`, with negative points."""

    id: UUID
    agent_id: UUID
    rule: str
    cause: str
    occasion: str
    points: int
    title: dict[str, str]
    earned_on: date
    reverses: UUID | None = None
    reason: str | None = None
    reason_code: str = ""
    reason_values: ReasonValues = field(default_factory=dict)
    detail: dict[str, Any] | None = None


@dataclass(frozen=True)
class NewEntry:
    """An entry to insert: `at` is its time, `by` the event that caused it, if any."""

    entry: Entry
    at: datetime
    by: Attributes | None


class LedgerBatch:
    """`grants`: all grants for the causes in question, oldest first. `reversed_`: ids of those that were reversed.

    The agents must be locked from before the grants are read until `new` is written."""

    def __init__(self, grants: Iterable[Entry], reversed_: Iterable[UUID]) -> None:
        self.new: list[NewEntry] = []
        self._grants: dict[tuple[UUID, str], list[Entry]] = {}
        self._reversed = set(reversed_)
        for each in grants:
            self._grants.setdefault((each.agent_id, each.cause), []).append(each)

    def find_standing_grants(self, agent_id: UUID, cause: str, *, rule: str | None = None) -> list[Entry]:
        """Grants for this cause that have not been reversed, oldest first."""
        return [
            each
            for each in self._grants.get((agent_id, cause), ())
            if rule in (None, each.rule) and each.id not in self._reversed
        ]

    def count_grants(self, agent_id: UUID, rule: str, cause: str) -> int:
        """How many grants the rule has made for the cause, reversed or not."""
        return sum(each.rule == rule for each in self._grants.get((agent_id, cause), ()))

    def grant(
        self,
        rule: BandLeftRule | TrainingCompletedRule | ImprovementRule,
        agent_id: UUID,
        *,
        cause: str,
        occasion: str,
        points: int,
        earned_on: date,
        detail: dict[str, Any],
        at: datetime,
        by: Attributes | None,
    ) -> None:
        """Adds a grant, unless one for the same agent, rule, cause and occasion exists."""
        before = self._grants.setdefault((agent_id, cause), [])
        if any(each.rule == rule.rule and each.occasion == occasion for each in before):
            return
        entry = Entry(
            new_id(), agent_id, rule.rule, cause, occasion, points, rule.title, earned_on, detail=detail
        )  # fmt: skip
        before.append(entry)
        self.new.append(NewEntry(entry, at, by))

    def reverse(
        self,
        entry: Entry,
        reason: str,
        code: str,
        values: ReasonValues | None = None,
        *,
        at: datetime,
        by: Attributes | None,
    ) -> None:
        """Adds the reversal of a standing grant, with the same `earned_on`. `code` and `values`: the reason in a form that
        can be translated."""
        self._reversed.add(entry.id)
        reversal = Entry(
            new_id(), entry.agent_id, entry.rule, entry.cause, entry.occasion, -entry.points, entry.title,
            entry.earned_on, reverses=entry.id, reason=reason, reason_code=code, reason_values=values or {},
        )  # fmt: skip
        self.new.append(NewEntry(reversal, at, by))
