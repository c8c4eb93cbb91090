"""What the parser finds in YAML, bounded in depth and number."""

from collections.abc import Iterator

import yaml
from servicekit.errors import FieldProblem, Invalid

MOST_VALUES = 400_000
"""Keys among them: of the two megabytes that are taken, nothing is as dense as that but what is made to be."""
DEEPEST = 60


def events(text: str) -> Iterator[yaml.Event]:
    """What the parser finds of one document, key by key and value by value. It does not recurse, other than the composer
    above it, which some 50,000 opening brackets would end together with the process."""
    depth = count = documents = 0
    try:
        for event in yaml.parse(text.lstrip("\ufeff"), Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.NodeEvent):
                count += 1
                if count > MOST_VALUES:
                    raise too_many(event)
                if isinstance(event, yaml.CollectionStartEvent):
                    depth += 1
                    if depth > DEEPEST:
                        raise at(event, "it is nested too deeply")
                yield event
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
                yield event
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise at(event, "it holds more than one document")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise broken(
            error.problem or "it is not YAML", mark.line + 1 if mark else None, mark.column + 1 if mark else None
        ) from error
    except yaml.YAMLError as error:
        raise broken(str(error).splitlines()[0], None, None) from error


def broken(problem: str, line: int | None, column: int | None, *, cure: str = "") -> Invalid:
    where = f" in line {line}" if line else ""
    cure = cure or ("check the indentation and quotes there" if line else "send YAML or JSON")
    return Invalid(
        "unreadable-document",
        f"The document cannot be read{where}: {problem}.",
        errors=[FieldProblem(problem=problem, cure=cure, line=line, column=column)],
    )


def at(event: yaml.Event, problem: str) -> Invalid:
    return broken(problem, event.start_mark.line + 1, event.start_mark.column + 1)


def too_many(event: yaml.Event | None = None) -> Invalid:
    mark = event.start_mark if event else None
    return broken(
        f"it holds too many keys and values, more than {MOST_VALUES:,}",
        mark.line + 1 if mark else None,
        mark.column + 1 if mark else None,
        cure="publish it in parts, and import people from a file",
    )
