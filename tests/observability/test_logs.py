"""What a record of the log says, and what it keeps to itself."""

import asyncio
import json
import logging
from typing import Any
from uuid import UUID

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from pydantic import BaseModel, ValidationError
from servicekit.logs import JsonFormatter, LogContext, TextFormatter, log_context, log_unhandled_task_errors
from sqlalchemy.exc import OperationalError

EVENT = UUID("0197c0de-0000-7000-8000-000000000001")
PHONE = "+4915599887766"


def record(message: str, *args: Any, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("uplift.test", logging.ERROR, __file__, 1, message, args, exc_info)


def told(message: str, *args: Any, error: BaseException | None = None) -> dict[str, Any]:
    line = JsonFormatter("forms").format(record(message, *args, error=error))
    assert "\n" not in line
    return json.loads(line)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_record_says_whom_it_is_about() -> None:
    token = log_context.set(LogContext("training", "acme", EVENT))
    try:
        found = told("hello %s", "you")
    finally:
        log_context.reset(token)
    assert found["message"] == "hello you"
    assert (found["service"], found["tenant"], found["event_id"]) == ("training", "acme", str(EVENT))
    assert "trace_id" not in found
    assert told("hello")["service"] == "forms"


def test_a_record_says_its_trace_and_after_its_end_that_of_its_request() -> None:
    place = SpanContext(trace_id=1, span_id=2, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(place)):
        during = told("within")
    token = log_context.set(LogContext("training", "acme", span=place))
    try:
        after = told("after")
    finally:
        log_context.reset(token)
    for each in (during, after):
        assert (each["trace_id"], each["span_id"]) == (f"{1:032x}", f"{2:016x}")


def test_nobody_can_write_a_record_of_his_own() -> None:
    forged = 'x"}\n{"level": "INFO", "message": "all is well"}\u2028\x1b[2J'
    assert told("path %s", forged)["message"] == f"path {forged}"
    text = TextFormatter().format(record("path %s", forged))
    assert text.count("\n") == 0


class _Number(BaseModel):
    number: int


def test_an_error_that_quotes_is_told_without_its_words() -> None:
    with pytest.raises(ValidationError) as caught:
        _Number.model_validate({"number": f"call {PHONE}"})
    found = told("it failed with %s", caught.value, error=caught.value)
    assert PHONE not in json.dumps(found)
    assert found["message"] == "it failed with ValidationError"
    assert found["exception"][0]["type"] == "ValidationError"
    assert "test_logs.py" in found["exception"][0]["stack"][0]


def test_an_error_of_the_machinery_is_told_with_its_words() -> None:
    away = raised(
        OperationalError("INSERT", {"name": PHONE}, psycopg.OperationalError("the server closed the connection"))
    )
    found = told("again", error=away)
    assert found["exception"][0]["message"] == "OperationalError: the server closed the connection"
    assert PHONE not in json.dumps(found)


def test_what_an_error_followed_from_is_told_and_the_members_of_a_group() -> None:
    try:
        try:
            raise KeyError(PHONE)
        except KeyError as first:
            raise ExceptionGroup("both", [ValueError(PHONE), raised(TypeError(PHONE))]) from first  # type: ignore[list-item]
    except ExceptionGroup as group:
        found = told("group", error=group)
    assert [each["type"] for each in found["exception"]] == ["ExceptionGroup", "ValueError", "TypeError", "KeyError"]
    assert PHONE not in json.dumps(found)


async def test_a_failure_nobody_waits_for_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    log_unhandled_task_errors(loop)
    try:
        loop.call_exception_handler({"message": "Task exception was never retrieved", "exception": ValueError(PHONE)})
    finally:
        loop.set_exception_handler(None)
    (found,) = caplog.records
    assert PHONE not in JsonFormatter("x").format(found)
