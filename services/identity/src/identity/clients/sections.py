"""The HTTP client that has the other services check their sections of a blueprint."""

import asyncio
from dataclasses import dataclass

import httpx
from contracts.section_names import Names
from pydantic import ValidationError
from pydantic_core import to_json
from servicekit.blueprints.checking import SectionCheck
from servicekit.errors import FieldProblem, ProblemDocument

CHECK_SECONDS = 25.0
"""For one service, retries included. The gateway cuts the request to identity after 30 s."""
_UNKNOWN_CALLER_SECONDS = 10.0
_RETRY_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class CheckUnavailable:
    """The service gave no answer: `reason` says why."""

    reason: str


class SectionCheckClient:
    """`url`: the base address of a service, with `{service}` for its name. `seconds`: the longest that one check may take."""

    def __init__(self, http: httpx.AsyncClient, url: str, *, seconds: float = CHECK_SECONDS) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._seconds = seconds

    async def check(self, service: str, body: bytes, *, tenant: str, token: str) -> SectionCheck | CheckUnavailable:
        """Has the service check its section of `tenant`, on behalf of the owner of the access token. `body`: see `encode_request`.
        Does not raise: a service that does not answer is CheckUnavailable."""
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
        """Posts again on 403 for some seconds: the service may not have received the event about a new caller yet. Posts once more
        when the connection breaks: the server may close one that was idle while it is taken for use."""
        request = self._http.build_request(
            "POST",
            f"{self._url.format(service=service)}/api/{service}/v1/blueprint-section/check",
            params={"tenant": tenant},
            content=body,
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            timeout=self._seconds,
        )
        deadline = asyncio.get_running_loop().time() + min(_UNKNOWN_CALLER_SECONDS, self._seconds)
        while True:
            try:
                answer = await self._http.send(request)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                answer = await self._http.send(request)
            if answer.status_code != 403 or asyncio.get_running_loop().time() > deadline:
                return answer
            await asyncio.sleep(_RETRY_PAUSE_SECONDS)


def encode_request(content: dict[str, object] | None, names: Names, names_now: Names) -> bytes:
    """The body of a check. `content` None: the section in force is checked against the new names. `names` are those that exist
    afterwards, `names_now` those of today."""
    return to_json({"content": content, "names": names, "names_now": names_now if content is None else {}})
