"""The hierarchy of errors. The HTTP door renders them as problem documents (RFC 9457). The event door retries transient
ones and stores a dead letter for the others."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, cast

from pydantic import BaseModel

MOST_PROBLEMS = 100
"""The most field problems in one response."""


class FieldProblem(BaseModel):
    """What is wrong with one field: where (a JSON pointer, and line and column for a text), why, and what to do about it."""

    pointer: str = ""
    problem: str
    cure: str = ""
    line: int | None = None
    column: int | None = None


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457). docs/problems.md lists its types."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] = []


class Problem(Exception):
    """An error that the API's caller can act on. `slug` is stable and identifies the type for programs; `detail` and
    `errors` are for people; `retry_after` is in seconds."""

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
    """Rebuilds a pickled problem."""
    return kind(slug, detail, errors=errors, retry_after=retry_after)


class Invalid(Problem):
    """The request is well-formed but its content is not valid."""

    status = 422
    title = "The request cannot be accepted as it is"


class Unauthenticated(Problem):
    """There is no access token, or it is not valid."""

    status = 401
    title = "A valid access token is needed"


class Forbidden(Problem):
    """The caller may not do or see this."""

    status = 403
    title = "Not allowed"


class NotFound(Problem):
    """What the request names does not exist."""

    status = 404
    title = "Not found"


class Conflict(Problem):
    """The request conflicts with the current state."""

    status = 409
    title = "It conflicts with what is there"


class PreconditionFailed(Problem):
    """The condition in If-Match or If-None-Match does not hold."""

    status = 412
    title = "It is not as the request says"


class TooLarge(Problem):
    """The body, or the number of values in it, is too large."""

    status = 413
    title = "Too large"


class TooSlow(Problem):
    """The body did not arrive in time."""

    status = 408
    title = "The request took too long to arrive"


class TooMany(Problem):
    """The caller sent too many requests."""

    status = 429
    title = "Too many requests"


class Unavailable(Problem):
    """A dependency is unavailable at the moment. A retry may succeed."""

    status = 503
    title = "Not available at the moment"
    transient = True


_MAX_NAMES_SHOWN = 20
_MAX_NAMES_COMPARED = 5000


def suggest_name(name: str, valid: Sequence[str]) -> str:
    """The cure for a name that does not exist: the most similar name of `valid`, else the valid names."""
    found = get_close_matches(name[:64].lower(), valid[:_MAX_NAMES_COMPARED], n=1, cutoff=0.6)
    if found:
        return f"did you mean `{found[0]}`?"
    more = f" and {len(valid) - _MAX_NAMES_SHOWN} more" if len(valid) > _MAX_NAMES_SHOWN else ""
    return f"one of: {', '.join(sorted(valid)[:_MAX_NAMES_SHOWN])}{more}"


def format_value(value: Any) -> str:
    """A value as a short text for an error message. A list or a mapping is only described, since it may be large."""
    if isinstance(value, dict | list | tuple | set):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(cast('Any', value))}"
    return (value[:60] if isinstance(value, str) else str(value)[:60]).strip()
