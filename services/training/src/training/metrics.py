"""Training's own metrics: changes of assignments."""

from typing import Final

from contracts.assignments import (
    AssignmentAssigned,
    AssignmentCompleted,
    AssignmentOverdue,
    AssignmentStarted,
    AssignmentWithdrawn,
)
from prometheus_client import Counter
from servicekit.metrics import count_by_type

ASSIGNMENTS: Final = Counter(
    "uplift_assignments", "Assignments: assigned, started, completed, overdue, withdrawn", ["change"]
)
METRICS: Final = (ASSIGNMENTS,)

count_published = count_by_type(
    {
        AssignmentAssigned: ASSIGNMENTS.labels("assigned"),
        AssignmentStarted: ASSIGNMENTS.labels("started"),
        AssignmentCompleted: ASSIGNMENTS.labels("completed"),
        AssignmentOverdue: ASSIGNMENTS.labels("overdue"),
        AssignmentWithdrawn: ASSIGNMENTS.labels("withdrawn"),
    }
)
