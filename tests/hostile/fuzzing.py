"""Requests that schemathesis makes of an OpenAPI document, sent to the service. What is wrong with the answers is gathered by
kind, each with the shortest request that shows it, so that one run tells everything it found."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from itertools import count
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit
from zoneinfo import available_timezones

import httpx
import requests  # noqa: TID251 (what schemathesis makes its requests for)
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from hypothesis.strategies import booleans, one_of, sampled_from
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response
from schemathesis.generation.drivers import CoverageGenerator
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.generation.overrides import Override
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import Route

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    missing_required_header,
    unsupported_method,
]
BOTH = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
CONDITIONS = ("If-Match", "If-None-Match", "Idempotency-Key")
"""Made up, or the same each time, they are almost never met, and then nothing else of a request is looked at."""
REFUSALS = ["400", "401", "403", "404", "405", "406", "408", "409", "411", "412", "413", "415", "422", "429"]
CONFIG = {
    "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
    "generation": {"allow-x00": False},  # which no text may hold, and no document says: tests/hostile/test_inputs.py
}
SHAPE = re.compile(
    r"Input should be (an? )?valid|String should|Field required|Extra inputs|\w+ should have at|unknown here"
)
"""Problems that a document can rule out, so that who keeps to it never meets them."""
TELLS_IN_A_RECEIPT = {("POST /sources/{source}/records", "AcceptedNegativeData")}
"""Files are taken whatever is in them; their receipts say which records are none."""

schemathesis.openapi.format("time-zone", sampled_from(sorted(available_timezones())))


class Fuzzer:
    """Sends to one service. `wrong` has what was found, by what it is; `answers` how often each operation answered what."""

    def __init__(self, runner: asyncio.Runner, suite: HostileSuite, service: str) -> None:
        self.run, self.suite, self.service = runner.run, suite, service
        self.client = suite.client(service)
        self.base = str(self.client.base_url).rstrip("/")
        self.wrong: dict[tuple[str, ...], str] = {}
        self.answers: dict[str, Counter[str]] = {}

    def send(self, case: Case[Any], *, known: bool) -> httpx.Response | None:
        """With `known`, what is in the address is there, and what the body names is what the address names. None: the case
        cannot be written down as a request, or nothing was answered."""
        if known:
            self._fill(case)
        try:
            sent = requests.Request(**case.as_transport_kwargs(base_url=self.base)).prepare()
        except (UnicodeError, ValueError, requests.RequestException):
            return None
        headers = {name: value for name, value in sent.headers.items() if name.lower() != "content-length"}
        label, content = case.operation.label, sent.body
        try:
            asked = self.client.request(str(sent.method), str(sent.url), headers=headers, content=content)  # pyright: ignore[reportArgumentType]
            answer = self.run(asked)
        except Exception as error:  # whatever the service raised: the client hands it on
            self._note(sent, error, label, type(error).__name__)
            return None
        slug = answer.json()["type"].rpartition(":")[2] if answer.status_code >= 400 else ""
        self.answers.setdefault(label, Counter())[f"{answer.status_code} {slug}".strip()] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except* Failure as group:
            for each in leaves(group):
                if (label, type(each).__name__) not in TELLS_IN_A_RECEIPT and not _left_out(case, str(sent.url), each):
                    self._note(sent, f"{each} {answer.text}", label, type(each).__name__, str(answer.status_code))
        if slug in ("invalid-fields", "bad-parameters") and case.meta and case.meta.generation.mode.is_positive:
            for each in answer.json().get("errors", []):
                if SHAPE.match(each["problem"]):
                    self._note(sent, each, label, "refused", each["problem"][:60])
        return answer

    @property
    def requests(self) -> int:
        """That were answered."""
        return sum(each.total() for each in self.answers.values())

    def assert_nothing_wrong(self) -> None:
        told = "\n".join(f"{' '.join(kind)}: {example}" for kind, example in sorted(self.wrong.items()))
        assert not self.wrong, f"{self.requests} requests, {len(self.wrong)} kinds of wrong answers\n{told}"

    def _fill(self, case: Case[Any]) -> None:
        for name in CONDITIONS:
            case.headers.pop(name, None)
        modes = {place: told.mode for place, told in case.meta.components.items()} if case.meta else {}
        if modes.get(ParameterLocation.QUERY) == GenerationMode.POSITIVE:
            case.query.pop("after", None)  # a cursor that is made up is refused
        if not case.path_parameters or modes.get(ParameterLocation.PATH) == GenerationMode.NEGATIVE:
            return
        address = Route(self.service, case.method.upper(), case.path, {}).address(self.suite.ids)
        steps = zip(case.path.split("/"), address.split("/"), strict=True)
        case.path_parameters = {name[1:-1]: value for name, value in steps if name.startswith("{")}
        if isinstance(case.body, dict) and modes.get(ParameterLocation.BODY) == GenerationMode.POSITIVE:
            case.body = {**case.body, **{k: v for k, v in case.path_parameters.items() if k in case.body}}

    def _note(self, sent: Any, told: object, *kind: str) -> None:
        body = sent.body if sent.body is None or len(sent.body) < 2000 else f"{len(sent.body)} of {sent.body[:2000]!r}"
        text = f"{sent.method} {sent.url} {dict(sent.headers)} {body!r}\n  {str(told)[:1500]}"
        if kind not in self.wrong or len(text) < len(self.wrong[kind]):
            self.wrong[kind] = text


def leaves(group: BaseExceptionGroup[Failure]) -> Iterator[Failure]:
    """The failures of a group, however deep it is nested."""
    for each in group.exceptions:
        yield from leaves(each) if isinstance(each, BaseExceptionGroup) else (each,)


def _left_out(case: Case[Any], url: str, failure: Failure) -> bool:
    """Whether what ought to be refused is not in the request at all: in a query an empty list, and a list of one, is written
    as nothing, and an object as the text of its names."""
    written = parse_qs(urlsplit(url).query, keep_blank_values=True)
    return isinstance(failure, AcceptedNegativeData) and any(
        name not in written or isinstance(value, dict) for name, value in case.query.items()
    )


def schema_of(app: FastAPI) -> Any:
    """Without the security schemes: with tokens that are made up, nothing else of a request would be looked at."""
    document = deepcopy(app.openapi())
    document["components"].pop("securitySchemes", None)
    for path in document["paths"].values():
        for operation in path.values():
            operation.pop("security", None)
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(CONFIG))


def operations(schema: Any) -> Iterator[Any]:
    """Those that take things away come last. A stream has no end, and is left out."""
    order = ["get", "post", "put", "patch", "delete"]
    every = [result.ok() for result in schema.get_all_operations()]
    yield from sorted((each for each in every if each.path != "/stream"), key=lambda each: order.index(each.method))


def covering(schema: Any, operation: Any) -> Iterator[Case[Any]]:
    """Bounds, formats, types and missing fields, each in a request that is else as described; the same ones each time."""
    yield from CoverageGenerator(
        operation=operation,
        generation_modes=BOTH,
        generation_config=schema.config.generation_for(operation=operation, phase="coverage"),
        auth_storage=None,
        override=Override(),
        feedback=NO_FEEDBACK,
    )


def generated(fuzzer: Fuzzer, operation: Any, examples: int, *, derandomize: bool) -> None:
    """Sends so many requests that are made up as a whole, as the document wants them and otherwise."""

    @settings(
        max_examples=examples,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # nothing fails in here, so that there is nothing to shrink
        suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)),
    )
    @given(case=one_of([operation.as_strategy(generation_mode=mode) for mode in BOTH]), known=booleans())
    def send(case: Case[Any], known: bool) -> None:
        fuzzer.send(case, known=known)

    send()


def chained(fuzzer: Fuzzer, schema: Any, requests: int, steps: int) -> Counter[str]:
    """Sends at least so many requests, in chains of at most so many. A link fills a request with what an earlier answer or
    request named; schemathesis infers them from the names and schemas of the document. Returns how often each link was
    answered with what."""
    answers: Counter[str] = Counter()
    sent = 0

    class Chain(schema.as_state_machine()):  # pyright: ignore[reportUntypedBaseClass]
        def step(self, input: StepInput) -> StepOutput | None:
            nonlocal sent
            sent += 1
            answer = fuzzer.send(input.case, known=not input.is_applied)
            if answer is None:
                return None
            if input.transition and input.is_applied:
                answers[f"{input.transition.id} {answer.status_code}"] += 1
            response = Response.from_any(answer)
            self.after_call(response, input.case)
            return StepOutput(response, input.case)

    options = settings(
        max_examples=requests // steps,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)),
    )
    for number in count():
        before, Chain.rule_order_seed = sent, number
        # What one chain changed may lead the next one elsewhere, which hypothesis ends a run for.
        with suppress(Flaky):
            run_state_machine_as_test(seed(number)(Chain), settings=options, _min_steps=2)
        if sent >= requests or sent == before:
            return answers
    raise AssertionError
