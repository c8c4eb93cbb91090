"""The route that checks a service's section of a blueprint without applying it."""

from typing import Any

from contracts.section_names import Names
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from servicekit.blueprints.checking import SectionCheck, SectionChecker
from servicekit.door import CallerDep, WorkSession, router
from servicekit.door.access import enter_tenant
from servicekit.door.policy import route_policy
from servicekit.errors import FieldProblem, Invalid
from servicekit.validation_problems import find_validation_problems
from servicekit.workers import TookTooLong, run_in_worker

MAX_SECTION_BYTES = 32_000_000
CHECK_SECONDS = 20.0


class SectionToCheck(BaseModel):
    """The section to check. `names`: kind → the names that will exist. Without `content`, the current section is checked for
    references to names that exist by `names_now` and will not by `names`."""

    content: dict[str, Any] | None = None
    names: Names = {}
    names_now: Names = {}


_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": SectionToCheck.model_json_schema()}}}
}


def section_router(section: SectionChecker) -> APIRouter:
    """The route `POST /blueprint-section/check` of a service with a section."""
    routes = router(tags=["blueprint"])

    @routes.post("/blueprint-section/check", response_model=SectionCheck, openapi_extra=_BODY)
    @route_policy(MAX_SECTION_BYTES, roles=("tenant_admin", "platform_admin"), idempotency_key=False)
    async def check_section(  # pyright: ignore[reportUnusedFunction]
        request: Request, session: WorkSession, caller: CallerDep, tenant: str | None = None
    ) -> Response:
        """Says what applying this section of a blueprint would change and what stands in its way, and does nothing.
        `names`: by kind, the names that other services will have. Needs tenant_admin; a platform admin may name another
        tenant."""
        await enter_tenant(session, caller, tenant)
        body = await request.body()
        try:
            answer = await run_in_worker(
                check_section_body, section.check, body, await section.load_current(session), seconds=CHECK_SECONDS
            )
        except TookTooLong as error:
            answer = _too_long(error)
        return Response(answer, media_type="application/json")

    return routes


def check_section_body(check: Any, body: bytes, current: Any) -> bytes:
    """Parses `body` (a SectionToCheck), checks it, and returns the SectionCheck as JSON. Runs in a worker process. Raises
    Invalid when the body is not valid."""
    try:
        request = SectionToCheck.model_validate_json(body)
    except ValidationError as error:
        raise Invalid(
            "invalid-fields", "This is no section.", errors=find_validation_problems(error, None, SectionToCheck)
        ) from None
    found: SectionCheck = check(request.content, current, request.names)
    if request.content is None:
        before = {each.pointer for each in check(None, current, request.names_now).problems}
        found = SectionCheck(problems=[each for each in found.problems if each.pointer not in before])
    return found.model_dump_json().encode()


def _too_long(error: TookTooLong) -> bytes:
    problem = FieldProblem(problem=error.detail, cure="Publish less at once.")
    return SectionCheck(problems=[problem]).model_dump_json().encode()
