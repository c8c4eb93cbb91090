"""New, changed and skipped assignments of one batch of events, before they are written."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from training.model.assignment import AssignmentRow, SkippedRow
from training.model.rules import EarlierAssignment


class AssignmentChanges:
    """`rows`: the existing assignments of the stays at hand, oldest first. `earlier`: all assignments, past and open, of
    the people who may be assigned one, by person and assignment.

    The caller locks these people before it loads `rows` and `earlier`, and until it has written `new`, `changed`,
    `skipped` and `due_dates`."""

    def __init__(self, rows: Iterable[AssignmentRow], earlier: Mapping[UUID, dict[UUID, EarlierAssignment]]) -> None:
        self.new: dict[UUID, AssignmentRow] = {}
        self.changed: dict[UUID, AssignmentRow] = {}
        self.skipped: list[SkippedRow] = []
        self.due_dates: dict[UUID, datetime] = {}
        self._by_stay: dict[UUID | None, list[AssignmentRow]] = {}
        self._earlier = earlier
        self._occasions: set[tuple[str | None, str | None]] = set()
        for row in rows:
            self._index(row)

    def has_occasion(self, rule: str, occasion: str) -> bool:
        """Whether the rule has assigned its training for this occasion already."""
        return (rule, occasion) in self._occasions

    def rows_of_stay(self, stay_id: UUID) -> list[AssignmentRow]:
        """The assignments of a stay, oldest first."""
        return self._by_stay.get(stay_id, [])

    def earlier_of(self, agent_id: UUID) -> list[EarlierAssignment]:
        """All assignments of a person, with those of this batch."""
        return list(self._earlier.get(agent_id, {}).values())

    def add(self, row: AssignmentRow) -> None:
        """Adds a new assignment."""
        self.new[row.id] = row
        self._index(row)
        self._track(row)

    def mark_changed(self, row: AssignmentRow) -> None:
        """Call after each change of a row."""
        if row.id not in self.new:
            self.changed[row.id] = row
        self._track(row)

    def _index(self, row: AssignmentRow) -> None:
        self._occasions.add((row.rule, row.occasion))
        self._by_stay.setdefault(row.band_event_id, []).append(row)

    def _track(self, row: AssignmentRow) -> None:
        if row.due_at is not None and row.status == "assigned":
            self.due_dates[row.id] = row.due_at
        if row.agent_id in self._earlier:
            self._earlier[row.agent_id][row.id] = EarlierAssignment(
                row.template, row.status, row.assigned_at, row.corrected
            )
