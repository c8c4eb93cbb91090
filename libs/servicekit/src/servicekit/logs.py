"""Logs: one JSON line a record, with trace, tenant and event, and without personal data.

What a failure choked on stands in its text: a name in a constraint's detail, a telephone number in a value that is no
number. So of an error only its type and where it happened are written, and its text only where it is about machinery
(a database that is away). A message that could not be handled lies whole in the dead letters, behind a login.
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
    """What the code that runs at the moment works for."""

    service: str
    tenant: str | None = None
    event_id: UUID | None = None
    span: SpanContext | None = None
    """The request's, for what is told of it after its end."""


log_context: ContextVar[LogContext | None] = ContextVar("about", default=None)


def configure_logging(form: Literal["text", "json"], service: str) -> None:
    """Sends all records to standard error. `service` names the process where a record does not say whom it works for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for noisy in ("httpx", "httpcore", "aiokafka", "pymongo", "alembic"):  # URLs and commands, with what is in them
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_unhandled_task_errors(loop: asyncio.AbstractEventLoop) -> None:
    """A task's failure that nobody waits for: by default it is printed with the whole text of the error."""
    log = logging.getLogger("uplift.run")

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log.error("%s", context.get("message"), exc_info=context.get("exception"))

    loop.set_exception_handler(tell)


def describe_error(error: BaseException) -> str:
    """An error in a line without what it may quote."""
    driver_error = getattr(error, "orig", None)  # an engine adds the statement's parameters
    inner = driver_error if isinstance(driver_error, BaseException) else error
    return f"{type(error).__name__}: {inner}" if is_transient(error) else type(error).__name__


class JsonFormatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        subject = log_context.get() or LogContext(self._service)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            "service": subject.service,
        }
        span = trace.get_current_span().get_span_context()
        span = span if span.is_valid else subject.span
        if span is not None and span.is_valid:
            line |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        if subject.tenant:
            line["tenant"] = subject.tenant
        if subject.event_id:
            line["event_id"] = str(subject.event_id)
        if error := _error(record):
            line["exception"] = [
                {
                    "type": type(each).__name__,
                    "words": describe_error(each),
                    "stack": traceback.format_tb(each.__traceback__),
                }
                for each in _chain(error)
            ]
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """For people at a terminal. A line break in a message cannot pretend to be another record."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
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
    """The error, the members of a group, and what each followed from, each once."""
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
