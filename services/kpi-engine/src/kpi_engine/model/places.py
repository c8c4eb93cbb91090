"""The text of a document, and where in it things stand."""

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Problem:
    """`pointer` is a JSON pointer into the document; line and column count from 1, None when the place is not known."""

    pointer: str
    problem: str
    cure: str = ""
    line: int | None = None
    column: int | None = None


class ModelInvalid(Exception):
    """The document is no KPI model; `problems` say where and why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.pointer}: {problem.problem}" for problem in problems))
        self.problems = problems


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)


@dataclass(frozen=True)
class Source:
    text: str
    data: Any
    root: Any

    @classmethod
    def read(cls, text: str) -> "Source":
        is_json = bool(re.match(r'\s*(\{\s*["}]|\[)', text))  # else YAML, which may begin with a brace too
        try:
            data = json.loads(text) if is_json else None
        except ValueError as error:
            if isinstance(error, json.JSONDecodeError):
                raise ModelInvalid([Problem("", f"Not JSON: {error.msg}.", "", error.lineno, error.colno)]) from None
            raise ModelInvalid([Problem("", f"Not JSON: {error}.", line=1, column=1)]) from None
        except RecursionError:
            raise ModelInvalid([Problem("", "The document is nested too deeply.", line=1, column=1)]) from None
        try:
            # JSON may be indented by tabs, which YAML refuses; places stay the same.
            loader = _Loader(text.replace("\t", " ") if is_json else text)
            try:
                root = loader.get_single_node()
                if not is_json:
                    data = loader.construct_document(root) if root is not None else None
            finally:
                loader.dispose()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            said = getattr(error, "problem", None) or "it cannot be read"
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise ModelInvalid([Problem("", f"Not YAML: {said}.", "", line, column)]) from None
        except (ValueError, RecursionError) as error:
            raise ModelInvalid([Problem("", f"Not YAML: {error}.", line=1, column=1)]) from None
        if not isinstance(data, dict):
            raise ModelInvalid([Problem("", "A KPI model is a mapping.", "Begin with `kpi: …`.", 1, 1)])
        return cls(text, data, root)

    def node(self, path: tuple[str | int, ...]) -> Any:
        """The node at `path`, or the nearest one above it that exists."""
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

    def problem(
        self, path: tuple[str | int, ...], problem: str, cure: str = "", *, at: int | None = None, key: bool = False
    ) -> Problem:
        """A problem at `path`; `at` counts characters inside of the text that stands there."""
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
        node = self.node(path)
        mark = node.start_mark
        if key and (above := self.node(path[:-1])) and isinstance(above, yaml.MappingNode):
            mark = next((name.start_mark for name, _ in above.value if name.value == str(path[-1])), mark)
        line, column = mark.line, mark.column
        if at is not None and isinstance(node, yaml.ScalarNode):
            index = _place_in_source(node, self.text, at)
            before = self.text[:index]
            line, column = before.count("\n"), index - (before.rfind("\n") + 1)
        elif isinstance(node, yaml.ScalarNode) and node.style in ("'", '"') and not key:
            column += 1
        return Problem(pointer, problem, cure, line + 1, column + 1)


def _place_in_source(node: Any, text: str, at: int) -> int:
    """Where character `at` of a scalar stands: its nth visible character is the nth visible one of the source."""
    raw = text[node.start_mark.index : node.end_mark.index]
    skip = 1 if node.style in ("'", '"') else 0
    if node.style in ("|", ">"):
        skip = raw.index("\n") + 1 if "\n" in raw else len(raw)
    elif node.style == "'":
        raw = raw.replace("''", "' ")
    elif node.style == '"':
        raw = re.sub(r"\\(.)", lambda match: "  " if match[1] in "ntr" else " " + match[1], raw)
    wanted = sum(not character.isspace() for character in node.value[:at])
    for index in range(skip, len(raw)):
        if not raw[index].isspace():
            if wanted == 0:
                return node.start_mark.index + index
            wanted -= 1
    return node.start_mark.index
