"""The text of a document, and the line and column of each part."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import yaml
from servicekit.nesting import is_deeper_than


@dataclass(frozen=True)
class Problem:
    """`pointer` is a JSON pointer into the document; line and column count from 1, None when the place is not known."""

    pointer: str
    problem: str
    cure: str = ""
    line: int | None = None
    column: int | None = None


class ModelInvalid(Exception):
    """The document is no KPI model; `problems` say where and why not."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.pointer}: {problem.problem}" for problem in problems[:20]))
        self.problems = problems

    def __reduce__(self) -> Any:
        return ModelInvalid, (self.problems,)


MAX_DEPTH = 12
"""Levels of a model's document; it needs five."""


@dataclass(frozen=True)
class DocumentText:
    """A document as text and as plain data, with the positions of its parts."""

    text: str
    data: Any

    @classmethod
    def parse(cls, text: str) -> "DocumentText":
        """Parses YAML or JSON. Raises ModelInvalid."""
        data = _json(text) if is_json(text) else _yaml(text)
        if is_deeper_than(data, MAX_DEPTH):
            raise ModelInvalid([Problem("", "The document is nested too deeply.", "Write it flatter.", 1, 1)])
        if not isinstance(data, dict):
            raise ModelInvalid([Problem("", "A KPI model is a mapping.", "Begin with `kpi: …`.", 1, 1)])
        return cls(text, data)

    @cached_property
    def root(self) -> Any:
        """The tree of YAML nodes with their positions, composed on first use; None when YAML cannot read the text."""
        # JSON may be indented by tabs, which YAML refuses; places stay the same.
        text = self.text.replace("\t", " ") if is_json(self.text) else self.text
        try:
            compose = cast(Callable[..., yaml.Node | None], yaml.compose)  # pyright: ignore[reportUnknownMemberType]  # its loader is untyped
            return compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, ValueError, RecursionError):  # JSON may hold what YAML does not know
            return None

    def find_node(self, path: tuple[str | int, ...]) -> Any:
        """The node at `path`, or the nearest existing one above it."""
        node = self.root
        for step in path:
            if isinstance(node, yaml.MappingNode):
                found = next((value for key, value in node.value if key.value == str(step)), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                found = node.value[step]
            else:
                found = None
            if found is None:
                return node
            node = found
        return node

    def build_problem(
        self, path: tuple[str | int, ...], problem: str, cure: str = "", *, at: int | None = None, key: bool = False
    ) -> Problem:
        """A problem at `path`. `at`: the offset in characters inside the text there; `key`: at the key and not at the value."""
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
        node = self.find_node(path)
        if node is None:
            return Problem(pointer, problem, cure)
        mark = node.start_mark
        if key and (above := self.find_node(path[:-1])) and isinstance(above, yaml.MappingNode):
            mark = next((name.start_mark for name, _ in above.value if name.value == str(path[-1])), mark)
        line, column = mark.line, mark.column
        if at is not None and isinstance(node, yaml.ScalarNode):
            index = _source_offset(node, self.text, at)
            before = self.text[:index]
            line, column = before.count("\n"), index - (before.rfind("\n") + 1)
        elif isinstance(node, yaml.ScalarNode) and node.style in ("'", '"') and not key:
            column += 1
        return Problem(pointer, problem, cure, line + 1, column + 1)


def is_json(text: str) -> bool:
    """Whether the text is JSON. YAML may begin with a brace too."""
    return bool(re.match(r'\s*(\{\s*["}]|\[)', text))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ModelInvalid([Problem("", f"Not JSON: {error.msg}.", "", error.lineno, error.colno)]) from None
    except ValueError as error:
        raise ModelInvalid([Problem("", f"Not JSON: {error}.", line=1, column=1)]) from None
    except RecursionError:
        raise ModelInvalid([Problem("", "The document is nested too deeply.", line=1, column=1)]) from None


def _yaml(text: str) -> Any:
    try:
        _refuse_aliases_and_depth(text)
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or "it cannot be read"
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ModelInvalid([Problem("", f"Not YAML: {said}.", "", line, column)]) from None
    except (ValueError, RecursionError) as error:
        raise ModelInvalid([Problem("", f"Not YAML: {error}.", line=1, column=1)]) from None


def _refuse_aliases_and_depth(text: str) -> None:
    """Raises yaml.MarkedYAMLError for aliases and deep nesting. The composer of YAML recurses in C without a limit; its
    parser, which gives these events, does not recurse."""
    depth = 0
    parse = cast(Callable[..., Iterator[yaml.Event]], yaml.parse)  # pyright: ignore[reportUnknownMemberType]  # its loader is untyped
    for event in parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=event.start_mark)


def _source_offset(node: Any, text: str, at: int) -> int:
    """The index in the source of character `at` of a scalar: the nth visible character of one is the nth of the other."""
    raw = text[node.start_mark.index : node.end_mark.index]
    skip = 1 if node.style in ("'", '"') else 0
    if node.style in ("|", ">"):
        skip = raw.index("\n") + 1 if "\n" in raw else len(raw)
    elif node.style == "'":
        raw = raw.replace("''", "' ")
    elif node.style == '"':
        raw = re.sub(r"\\(.)", lambda match: "  " if match[1] in "ntr" else " " + match[1], raw)
    remaining = sum(not character.isspace() for character in node.value[:at])
    for index in range(skip, len(raw)):
        if not raw[index].isspace():
            if remaining == 0:
                return node.start_mark.index + index
            remaining -= 1
    return node.start_mark.index
