"""Renders errors as problem documents (RFC 9457)."""

from http import HTTPStatus

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from servicekit.door.cures import cure_of, strip_validator_prefix
from servicekit.errors import MOST_PROBLEMS, FieldProblem, Forbidden, Invalid, Problem, Unauthenticated


async def render_problem(request: Request, error: Exception) -> Response:
    """The problem document of an error. Any error that is not a Problem becomes `unexpected`, without its text."""
    problem = error if isinstance(error, Problem) else Problem("unexpected", "The cause is in the log.")
    headers = {"retry-after": str(problem.retry_after)} if problem.retry_after is not None else {}
    if isinstance(problem, Unauthenticated | Forbidden):
        headers["www-authenticate"] = _challenge(problem)
    document = {**problem.document(), "instance": request.url.path}
    return JSONResponse(document, problem.status, headers, media_type="application/problem+json")


def _challenge(problem: Unauthenticated | Forbidden) -> str:
    """The value of WWW-Authenticate (RFC 6750): without an error code when no token was sent. ASCII only."""
    if problem.slug == "no-token":
        return 'Bearer realm="uplift"'
    error = "invalid_token" if isinstance(problem, Unauthenticated) else "insufficient_scope"
    detail = problem.detail.encode("ascii", "ignore").decode().translate({34: "'", 92: "/", 10: " ", 13: " "})
    return f'Bearer realm="uplift", error="{error}", error_description="{detail}"'


async def render_http(request: Request, error: Exception) -> Response:
    """The problem document of an error of the framework, such as an unknown path or method."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    document = {"type": "about:blank", "title": title, "status": error.status_code, "detail": str(error.detail)}
    document["instance"] = request.url.path
    return JSONResponse(document, error.status_code, error.headers, media_type="application/problem+json")


async def render_validation(request: Request, error: Exception) -> Response:
    """The problem document of a request that FastAPI could not validate: one field problem for each error."""
    assert isinstance(error, RequestValidationError)
    body = getattr(request.scope.get("route"), "body_field", None)
    model = body.field_info.annotation if body else None
    problems = [
        FieldProblem(
            pointer="".join("/" + str(part)[:500].replace("~", "~0").replace("/", "~1") for part in each["loc"])[:500],
            problem=strip_validator_prefix(str(each["msg"]))[:500],
            cure=cure_of(each, model),
        )
        for each in error.errors()[:MOST_PROBLEMS]
        if each["type"] != "json_invalid"
    ] or [_broken_json(error)]
    kind = request.headers.get("content-type", "none")
    if isinstance(error.body, bytes) and "json" not in kind:
        cure = f"send it with `Content-Type: application/json`; it came with {kind[:80]}"
        problems = [FieldProblem(pointer="/body", problem="it is not marked as JSON", cure=cure)]
    detail = "Some fields are not as they must be: " + ", ".join(problem.pointer for problem in problems[:5])
    return await render_problem(request, Invalid("invalid-fields", detail, errors=problems))


def _broken_json(error: RequestValidationError) -> FieldProblem:
    """The field problem of a JSON syntax error, with its line and column. FastAPI has the offset in the error's location."""
    broken = error.errors()[0]
    text, offset = str(error.body), int(broken["loc"][-1])
    return FieldProblem(
        pointer="/body",
        problem=f"not JSON: {broken['ctx']['error']}",
        cure="check commas, quotes and brackets there",
        line=text.count("\n", 0, offset) + 1,
        column=offset - text.rfind("\n", 0, offset),
    )
