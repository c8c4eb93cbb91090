"""What people are given and what is taken back, as a batch of events sees it and changes it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from training.model.rules import EarlierAssignment

Row = dict[str, Any]
"""An assignment, by column, with the `title` of its training."""


class AssignmentChanges:
    """`rows`: what there is for the stays at hand, oldest first; `earlier`: all that people who may be given something
    have or had, by person and assignment.

    The people must be locked from before both were read until `new`, `changed`, `skipped` and `due` are written."""

    def __init__(self, rows: Iterable[Row], earlier: Mapping[UUID, dict[UUID, EarlierAssignment]]) -> None:
        self.new: dict[UUID, Row] = {}
        self.changed: dict[UUID, Row] = {}
        self.skipped: list[Row] = []
        self.due_dates: dict[UUID, datetime] = {}
        self._of_stay: dict[UUID | None, list[Row]] = {}
        self._earlier = earlier
        self._occasions: set[tuple[str | None, str | None]] = set()
        for row in rows:
            self._occasions.add((row["rule"], row["occasion"]))
            self._of_stay.setdefault(row["band_event_id"], []).append(row)

    def has_occasion(self, rule: str, occasion: str) -> bool:
        return (rule, occasion) in self._occasions

    def rows_of_stay(self, band_event_id: UUID) -> list[Row]:
        return self._of_stay.get(band_event_id, [])

    def earlier_of(self, agent_id: UUID) -> list[EarlierAssignment]:
        return list(self._earlier.get(agent_id, {}).values())

    def add(self, row: Row) -> None:
        self.new[row["id"]] = row
        self._occasions.add((row["rule"], row["occasion"]))
        self._of_stay.setdefault(row["band_event_id"], []).append(row)
        self._track(row)

    def change(self, row: Row, **changes: Any) -> None:
        row |= {**changes, "version": row["version"] + 1}
        if row["id"] not in self.new:
            self.changed[row["id"]] = row
        self._track(row)

    def _track(self, row: Row) -> None:
        if row["due_at"] is not None and row["status"] == "assigned":
            self.due_dates[row["id"]] = row["due_at"]
        if row["agent_id"] in self._earlier:
            self._earlier[row["agent_id"]][row["id"]] = EarlierAssignment(
                row["template"], row["status"], row["assigned_at"], row["corrected"]
            )
