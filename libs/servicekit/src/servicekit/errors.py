"""One hierarchy of errors. The HTTP door renders them as RFC 9457 problem documents; the event door retries what is
transient and files the rest away as dead letters."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel


class FieldProblem(BaseModel):
    """What is wrong with one field: where (JSON pointer, and line and column where there are any), why, and the cure."""

    pointer: str = ""
    problem: str
    cure: str = ""
    line: int | None = None
    column: int | None = None


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


class TooLarge(Problem):
    status = 413
    title = "Too large"


class TooMany(Problem):
    status = 429
    title = "Too many requests"


class Unavailable(Problem):
    """Something this depends on is away for the moment: worth trying again."""

    status = 503
    title = "Not available at the moment"
    transient = True
