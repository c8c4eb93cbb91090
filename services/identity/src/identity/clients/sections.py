"""Asks the other services what they say of their sections of a blueprint."""

import asyncio
from dataclasses import dataclass

import httpx
from contracts.section_names import Names
from pydantic import ValidationError
from pydantic_core import to_json
from servicekit.blueprints.checking import SectionCheck
from servicekit.errors import FieldProblem, ProblemDocument

CHECK_SECONDS = 25.0
"""For all of it: what reaches identity by the gateway is given up there after 30."""
_KNOWN_SECONDS = 10.0
_AGAIN_SECONDS = 0.2


@dataclass(frozen=True)
class CheckUnavailable:
    """Why a service gave no answer."""

    reason: str


class SectionCheckClient:
    """`url`: where the services are, with `{service}` for the name of one."""

    def __init__(self, http: httpx.AsyncClient, url: str, *, seconds: float = CHECK_SECONDS) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._seconds = seconds

    async def check(self, service: str, body: bytes, *, tenant: str, token: str) -> SectionCheck | CheckUnavailable:
        """In the name of whoever has `token`."""
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._post(service, body, tenant=tenant, token=token)
        except TimeoutError:
            return CheckUnavailable(f"it did not answer within {self._seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return CheckUnavailable(f"it cannot be reached ({type(error).__name__})")
        try:
            if answer.is_success:
                return SectionCheck.model_validate_json(answer.content)
            problem = ProblemDocument.model_validate_json(answer.content)
        except ValidationError:
            return CheckUnavailable(f"it answered with status {answer.status_code}")
        if answer.status_code in (413, 422):
            return SectionCheck(problems=[FieldProblem(problem=problem.detail, cure="Publish less at once.")])
        return CheckUnavailable(f"it refused to answer: {problem.detail}")

    async def _post(self, service: str, body: bytes, *, tenant: str, token: str) -> httpx.Response:
        """A service may not have heard yet of somebody who was made known a moment ago."""
        until = asyncio.get_running_loop().time() + min(_KNOWN_SECONDS, self._seconds)
        while True:
            answer = await self._http.post(
                f"{self._url.format(service=service)}/api/{service}/v1/blueprint-section/check",
                params={"tenant": tenant},
                content=body,
                headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
                timeout=self._seconds,
            )
            if answer.status_code != httpx.codes.FORBIDDEN or asyncio.get_running_loop().time() > until:
                return answer
            await asyncio.sleep(_AGAIN_SECONDS)


def encode_request(content: dict[str, object] | None, names: Names, names_now: Names) -> bytes:
    """The body of the question; `content` None: what is in force is looked at again."""
    return to_json({"content": content, "names": names, "names_now": names_now if content is None else {}})
