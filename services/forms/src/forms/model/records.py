"""What the database holds of forms and submissions, as values."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

from forms.model.definition import About, Kind


class Draft(NamedTuple):
    """The draft of a form; `draft_hash` is the hash of the content in `draft_document`."""

    form: str
    title: dict[str, str]
    kind: Kind
    about: About
    draft_document: UUID
    draft_hash: str
    updated_at: datetime
    updated_by: UUID | None


@dataclass(frozen=True)
class FormRecord:
    """A form: its draft, and `version` and `published_hash` of its newest published version, None before there is one."""

    form: str
    title: dict[str, str]
    kind: Kind
    about: About
    draft_document: UUID
    draft_hash: str
    version: int | None
    published_hash: str | None
    retired: bool
    updated_at: datetime
    updated_by: UUID | None

    @property
    def status(self) -> Literal["draft", "published", "retired"]:
        """`retired` before all; otherwise whether a version was published."""
        if self.retired:
            return "retired"
        return "published" if self.version else "draft"

    @property
    def changed(self) -> bool:
        """Whether the draft differs from the newest published version."""
        return self.draft_hash != self.published_hash


@dataclass(frozen=True)
class FormVersion:
    """A published version of a form, with the id of its document."""

    form: str
    version: int
    document: UUID
    published_at: datetime
    published_by: UUID | None


@dataclass(frozen=True)
class Submission:
    """The newest version of a submission. `agent_id` None: the form is about nobody. `score` in hundredths of a percent;
    None where the form is not scored or nothing in it applied."""

    id: UUID
    form: str
    form_version: int
    version: int
    document: UUID
    agent_id: UUID | None
    interaction_id: UUID | None
    leg: int | None
    submitted_by: UUID
    submitted_at: datetime
    workday: date
    changed_at: datetime
    score: int | None
    automatic_fail: bool
    void: bool


@dataclass(frozen=True)
class ListedSubmission(Submission):
    """A submission with slug and display name of its agent; both None where the directory copy has no such person."""

    agent: str | None
    name: str | None


class SubmissionChange(NamedTuple):
    """One version of a submission: who made it, and when."""

    version: int
    void: bool
    at: datetime
    by: UUID


class SubmissionContent(TypedDict):
    """The document of a submission's version. `result`: a `Result` as JSON; None on a form that is not scored."""

    answers: dict[str, Any]
    notes: str
    result: dict[str, Any] | None
