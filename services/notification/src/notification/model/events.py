"""The events that rules can match, and their fields as texts use them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from contracts import Event
from contracts.assignments import (
    AssignmentAssigned,
    AssignmentCompleted,
    AssignmentOverdue,
    AssignmentStarted,
    AssignmentWithdrawn,
)
from contracts.awards import PointsGranted, PointsReversed
from contracts.envelope import known
from contracts.scores import BandCorrected, BandEntered, BandLeft
from contracts.submissions import FormPublished, SubmissionScored, SubmissionSubmitted
from servicekit.languages import format_day, format_instant, format_value, format_window, select_title
from servicekit.reasons import format_reason

_TYPES: tuple[type[Event], ...] = (
    BandEntered, BandLeft, BandCorrected, AssignmentAssigned, AssignmentStarted, AssignmentCompleted, AssignmentOverdue,
    AssignmentWithdrawn, PointsGranted, PointsReversed, FormPublished, SubmissionSubmitted, SubmissionScored,
)  # fmt: skip
EVENTS: dict[str, type[Event]] = {each.type: each for each in _TYPES}

TEST_EVENT = "webhook.test"

EventName = Annotated[str, known(*EVENTS)]
"""The type of an event that a rule can match."""
EventType = Annotated[str, known(*EVENTS, TEST_EVENT)]


def is_history(body: Event) -> bool:
    """Whether the event comes from imported history, which creates no notices."""
    return getattr(body, "mode", "live") == "history"


def find_subject_version(body: Event) -> tuple[str, int] | None:
    """The subject of the event and the subject's version; None where events are not ordered, as events from before
    versions existed."""
    match body:
        case BandEntered() | BandLeft() | BandCorrected():
            found = (f"band {body.agent_id} {body.kpi}", body.version)
        case PointsGranted():
            found = (f"points {body.entry_id}", 1)
        case PointsReversed():
            found = (f"points {body.reverses}", 2)
        case SubmissionSubmitted() | SubmissionScored():
            found = (f"submission {body.submission_id}", body.version)
        case FormPublished():
            found = (f"form {body.form}", body.version)
        case (
            AssignmentAssigned()
            | AssignmentStarted()
            | AssignmentCompleted()
            | AssignmentOverdue()
            | AssignmentWithdrawn()
        ):
            found = (f"assignment {body.assignment_id}", body.version)
        case _:
            return None
    return found if found[1] else None


_SLUGS = ("template", "form", "rule", "kpi", "band", "from_band", "to_band")


def render_fields(body: Event, *, language: str, time_zone: str) -> dict[str, Any]:
    """The event's fields as texts use them. Slugs and ids are unchanged, so that texts can compare them. In the reader's
    language are `title` and the titles of slugs (`kpi_title`), days, windows and instants (in the tenant's time zone),
    `value` with its unit, and the `reason`. `score_percent` comes from a score in hundredths of a percent."""
    fields: dict[str, Any] = {}
    for name in type(body).model_fields:
        value = getattr(body, name)
        if isinstance(value, datetime):
            fields[name] = format_instant(value, language, time_zone)
        elif isinstance(value, date):
            fields[name] = format_day(value, language)
        elif name.endswith("title"):
            fields[name] = select_title(value, _find_titled_slug(body, name), language)
        elif value is None or isinstance(value, bool | int | str):
            fields[name] = value
        elif not isinstance(value, list | dict):
            fields[name] = str(value)
    if "at_window" in fields:
        fields["at_window"] = format_window(fields["at_window"], language)
        fields["value"] = format_value(fields["value"], fields["unit"], language)
    if isinstance(body, BandCorrected | AssignmentWithdrawn | PointsReversed):
        fields["reason"] = format_reason(fields["reason_code"], body.reason_values, language)
    if isinstance(body, SubmissionScored):
        fields["score_percent"] = f"{(Decimal(body.score) / 100).normalize():f}"
    return fields


def _find_titled_slug(body: Event, title: str) -> str | None:
    """The slug that a title belongs to: `kpi` for `kpi_title`; for `title` that of the training or the form."""
    own = title.removesuffix("title").removesuffix("_")
    return next((getattr(body, name) for name in ([own] if own else _SLUGS) if getattr(body, name, None)), None)


def find_reference_fields(body: Event) -> dict[str, Any]:
    """Ids and names by which a client links to what the event is about."""
    fields = body.model_dump(mode="json")
    names = {"kpi", "band", "template", "form", "rule", "due_at", "at_window"}
    return {
        name: value for name, value in fields.items() if (name.endswith("_id") or name in names) and value is not None
    }
