"""The events that people can be told of, and what texts may say about them."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from contracts import Event
from contracts.awards import PointsGranted, PointsReversed
from contracts.learning import (
    AssignmentAssigned,
    AssignmentCompleted,
    AssignmentOverdue,
    AssignmentStarted,
    AssignmentWithdrawn,
)
from contracts.scores import BandCorrected, BandEntered, BandLeft
from contracts.submissions import FormPublished, SubmissionScored, SubmissionSubmitted

_TYPES: tuple[type[Event], ...] = (
    BandEntered, BandLeft, BandCorrected, AssignmentAssigned, AssignmentStarted, AssignmentCompleted, AssignmentOverdue,
    AssignmentWithdrawn, PointsGranted, PointsReversed, FormPublished, SubmissionSubmitted, SubmissionScored,
)  # fmt: skip
EVENTS: dict[str, type[Event]] = {each.type: each for each in _TYPES}

TEST_EVENT = "webhook.test"
LANGUAGES = ("en", "zh")


def is_history(body: Event) -> bool:
    return getattr(body, "mode", "live") == "history"


def order_of(body: Event) -> tuple[str, int] | None:
    """Of what thing the event tells, and its place in the order of what is told of it; None where there is no order, as
    in events from before there were versions."""
    match body:
        case BandEntered() | BandLeft() | BandCorrected():
            place = (f"band {body.agent_id} {body.kpi}", body.version)
        case PointsGranted():
            place = (f"points {body.entry_id}", 1)
        case PointsReversed():
            place = (f"points {body.reverses}", 2)
        case SubmissionSubmitted() | SubmissionScored():
            place = (f"submission {body.submission_id}", body.version)
        case FormPublished():
            place = (f"form {body.form}", body.version)
        case (
            AssignmentAssigned()
            | AssignmentStarted()
            | AssignmentCompleted()
            | AssignmentOverdue()
            | AssignmentWithdrawn()
        ):
            place = (f"assignment {body.assignment_id}", body.version)
        case _:
            return None
    return place if place[1] else None


def language_of(preferred: str | None, of_tenant: str) -> str:
    """The person's language, else the tenant's, else English; `zh-CN` is Chinese."""
    for each in (preferred, of_tenant):
        short = (each or "").replace("_", "-").partition("-")[0].lower()
        if short in LANGUAGES:
            return short
    return "en"


def localised(texts: dict[str, Any], language: str) -> Any:
    """The text in that language, else in English, else in whatever there is."""
    return texts.get(language) or texts.get("en") or next(iter(texts.values()), "")


def fields_of(body: Event, *, language: str, time_zone: str) -> dict[str, Any]:
    """The event's fields as texts use them: titles in the reader's language, instants by the tenant's clock as
    `2026-03-11 17:00`, and `score_percent` beside a score in hundredths of a percent."""
    fields: dict[str, Any] = {}
    for name in type(body).model_fields:
        value = getattr(body, name)
        if isinstance(value, datetime):
            fields[name] = value.astimezone(ZoneInfo(time_zone)).strftime("%Y-%m-%d %H:%M")
        elif name == "title" and isinstance(value, dict):
            fields[name] = localised(value, language)
        elif value is None or isinstance(value, bool | int | str):
            fields[name] = value
        elif not isinstance(value, list | dict):
            fields[name] = str(value)
    if isinstance(body, SubmissionScored):
        fields["score_percent"] = f"{(Decimal(body.score) / 100).normalize():f}"
    return fields


def references_of(body: Event) -> dict[str, Any]:
    """What a reader's program needs to lead to the thing itself."""
    whole = body.model_dump(mode="json")
    kept = {"kpi", "band", "template", "form", "rule", "due_at", "at_window"}
    return {
        name: value for name, value in whole.items() if (name.endswith("_id") or name in kept) and value is not None
    }
