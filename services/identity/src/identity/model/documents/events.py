"""The events of the YAML parser, with a limit on depth and number."""

from collections.abc import Callable, Iterator
from typing import cast

import yaml
from servicekit.errors import FieldProblem, Invalid

MAX_VALUES = 400_000
"""Keys and values of a document. No genuine document of two megabytes, the most that is accepted, has as many."""
MAX_DEPTH = 60


def parse_events(text: str) -> Iterator[yaml.Event]:
    """The events of the one document in `text`. Raises Invalid, with line and column, for broken YAML, several documents, and more
    than MAX_DEPTH levels or MAX_VALUES keys and values. PyYAML's composer is not used: it recurses, and some 50,000 opening
    brackets crash the process."""
    try:
        parse = cast(Callable[..., Iterator[yaml.Event]], yaml.parse)  # pyright: ignore[reportUnknownMemberType]
        yield from _check_limits(parse(text.lstrip("\ufeff"), Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise unreadable(
            error.problem or "it is not YAML", mark.line + 1 if mark else None, mark.column + 1 if mark else None
        ) from error
    except yaml.YAMLError as error:
        raise unreadable(str(error).splitlines()[0], None, None) from error


def _check_limits(found: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """The events of nodes, and the ends of collections."""
    depth = count = documents = 0
    for event in found:
        if isinstance(event, yaml.NodeEvent):
            count += 1
            if count > MAX_VALUES:
                raise too_many_values(event)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise unreadable_at(event, "it is nested too deeply")
            yield event
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            yield event
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise unreadable_at(event, "it holds more than one document")


def unreadable(problem: str, line: int | None, column: int | None, *, cure: str = "") -> Invalid:
    """The error for a document that cannot be read. `line` and `column` count from 1."""
    where = f" in line {line}" if line else ""
    cure = cure or ("check the indentation and quotes there" if line else "send YAML or JSON")
    return Invalid(
        "unreadable-document",
        f"The document cannot be read{where}: {problem}.",
        errors=[FieldProblem(problem=problem, cure=cure, line=line, column=column)],
    )


def unreadable_at(event: yaml.Event, problem: str) -> Invalid:
    """The error for a document that cannot be read, with the position of the event."""
    return unreadable(problem, event.start_mark.line + 1, event.start_mark.column + 1)


def too_many_values(event: yaml.Event | None = None) -> Invalid:
    """The error for a document with more than MAX_VALUES keys and values."""
    mark = event.start_mark if event else None
    return unreadable(
        f"it holds too many keys and values, more than {MAX_VALUES:,}",
        mark.line + 1 if mark else None,
        mark.column + 1 if mark else None,
        cure="publish it in parts, and import people from a file",
    )
