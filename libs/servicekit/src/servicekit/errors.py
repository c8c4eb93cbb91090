"""One hierarchy of errors. The HTTP door renders them as RFC 9457 problem documents; the event door retries what is
transient and files the rest away as dead letters."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, cast

from pydantic import BaseModel

MOST_PROBLEMS = 100
"""Of one answer: whoever has mended so many asks again."""


class FieldProblem(BaseModel):
    """What is wrong with one field: where (JSON pointer, and line and column where there are any), why, and the cure."""

    pointer: str = ""
    problem: str
    cure: str = ""
    line: int | None = None
    column: int | None = None


class ProblemDocument(BaseModel):
    """How a problem is answered (RFC 9457). What its types mean: docs/problems.md."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] = []


class Problem(Exception):
    """An error that its reader can do something about. `slug` is stable and names it for programs."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    transient: ClassVar[bool] = False

    def __init__(
        self, slug: str, detail: str, *, errors: Sequence[FieldProblem] = (), retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.errors = list(errors)
        self.retry_after = retry_after

    def __reduce__(self) -> Any:
        return _problem, (type(self), self.slug, self.detail, self.errors, self.retry_after)

    def document(self) -> dict[str, Any]:
        """The problem document (RFC 9457)."""
        document: dict[str, Any] = {
            "type": f"urn:uplift:problem:{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [error.model_dump(exclude_none=True) for error in self.errors]
        return document


def _problem(
    kind: type[Problem], slug: str, detail: str, errors: list[FieldProblem], retry_after: int | None
) -> Problem:
    """As it was before it was pickled."""
    return kind(slug, detail, errors=errors, retry_after=retry_after)


class Invalid(Problem):
    status = 422
    title = "The request cannot be accepted as it is"


class Unauthenticated(Problem):
    status = 401
    title = "A valid access token is needed"


class Forbidden(Problem):
    status = 403
    title = "Not allowed"


class NotFound(Problem):
    status = 404
    title = "Not found"


class Conflict(Problem):
    status = 409
    title = "It conflicts with what is there"


class PreconditionFailed(Problem):
    status = 412
    title = "It is not as the request says"


class TooLarge(Problem):
    status = 413
    title = "Too large"


class TooSlow(Problem):
    status = 408
    title = "The request took too long to arrive"


class TooMany(Problem):
    status = 429
    title = "Too many requests"


class Unavailable(Problem):
    """Something this depends on is away for the moment: worth trying again."""

    status = 503
    title = "Not available at the moment"
    transient = True


_SHOWN_NAMES = 20
_COMPARED_NAMES = 5000


def suggest_name(name: str, valid: Sequence[str]) -> str:
    """The cure for a name that does not exist: the one that was meant, else those that there are."""
    found = get_close_matches(name[:64].lower(), valid[:_COMPARED_NAMES], n=1, cutoff=0.6)
    if found:
        return f"did you mean `{found[0]}`?"
    more = f" and {len(valid) - _SHOWN_NAMES} more" if len(valid) > _SHOWN_NAMES else ""
    return f"one of: {', '.join(sorted(valid)[:_SHOWN_NAMES])}{more}"


def format_value(value: Any) -> str:
    """A value in a message: of a list or a mapping only what it is, since it may be of any size and depth."""
    if isinstance(value, dict | list | tuple | set):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(cast('Any', value))}"
    return (value[:60] if isinstance(value, str) else str(value)[:60]).strip()
