"""Logs: one JSON line per record, with trace, tenant and event, and without personal data.

An error's text often quotes the data that caused it: a name in a constraint's detail, a telephone number in a value that
is not a number. So only an error's type and stack are logged; its text only for transient errors, which are about
infrastructure. A message that could not be handled is stored complete as a dead letter, which needs a login to read.
"""

import asyncio
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from messaging.retry import is_transient
from opentelemetry import trace
from opentelemetry.trace import SpanContext


class LogContext(NamedTuple):
    """The service, tenant, event and request span that the running code works for."""

    service: str
    tenant: str | None = None
    event_id: UUID | None = None
    span: SpanContext | None = None
    """The request's span, for records that are logged after the span has ended."""


log_context: ContextVar[LogContext | None] = ContextVar("log_context", default=None)


def configure_logging(form: Literal["text", "json"], service: str) -> None:
    """Sends all records to standard error. `service`: the service name for records without a log context."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for noisy in ("httpx", "httpcore", "aiokafka", "pymongo", "alembic"):  # they log URLs and commands with their data
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_unhandled_task_errors(loop: asyncio.AbstractEventLoop) -> None:
    """Logs errors of tasks that nobody awaits. asyncio's default handler prints the full text of the error."""
    log = logging.getLogger("uplift.run")

    def log_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.error("%s", context.get("message"), exc_info=context.get("exception"))

    loop.set_exception_handler(log_error)


def describe_error(error: BaseException) -> str:
    """An error as one line without the data that it may quote: its type, and its text if it is transient."""
    driver_error = getattr(error, "orig", None)  # SQLAlchemy's own text quotes the statement's parameters
    inner = driver_error if isinstance(driver_error, BaseException) else error
    return f"{type(error).__name__}: {inner}" if is_transient(error) else type(error).__name__


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON. `service`: the service name for records without a log context."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON: time, level, logger, message and service; trace, tenant, event and exception if there are any."""
        context = log_context.get() or LogContext(self._service)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "service": context.service,
        }
        span = trace.get_current_span().get_span_context()
        span = span if span.is_valid else context.span
        if span is not None and span.is_valid:
            line |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        if context.tenant:
            line["tenant"] = context.tenant
        if context.event_id:
            line["event_id"] = str(context.event_id)
        if error := _error(record):
            line["exception"] = [
                {
                    "type": type(each).__name__,
                    "message": describe_error(each),
                    "stack": traceback.format_tb(each.__traceback__),
                }
                for each in _chain(error)
            ]
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """Formats records for a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's line, with line breaks in the message escaped, so that a message cannot forge another record."""
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.args, tuple):
        record = logging.makeLogRecord(record.__dict__)
        record.args = tuple(
            describe_error(each) if isinstance(each, BaseException) else each for each in record.args or ()
        )
    return record.getMessage()


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, the members of an exception group, and their causes, each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions  # pyright: ignore[reportUnknownMemberType]
        waiting.append(each.__cause__ or (None if each.__suppress_context__ else each.__context__))
