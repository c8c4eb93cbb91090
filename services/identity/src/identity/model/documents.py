"""Reading and writing bundles: YAML as its version 1.2 understands it (a time is not a number, `no` is a language) or
JSON. What comes out is plain JSON in either case."""

import hashlib
import json
import math
import re
from typing import Any

import yaml
from servicekit.errors import FieldProblem, Invalid

from identity.model.fields import escaped

MOST_VALUES = 1_000_000
_DEEPEST = 60
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}


for _tag, _pattern, _first in (
    (_NULL, r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    (_BOOL, r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    (_INT, r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    (_FLOAT, r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(_tag, re.compile(f"^{_pattern}$"), _first)


def read_document(text: str) -> Any:
    """Raises Invalid with line and column when it is neither YAML nor JSON, or holds what JSON cannot."""
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        # What begins with a brace is nearly always JSON, which is read many times faster.
        try:
            return _storable(json.loads(text.lstrip("\ufeff"), object_pairs_hook=_unique, parse_constant=_no_constant))
        except json.JSONDecodeError as error:
            if _looks_like_json(text):
                raise _broken(error.msg, error.lineno, error.colno) from error
        except RecursionError as error:
            raise _broken("it is nested too deeply", None, None) from error
        except ValueError as error:
            raise _broken("it holds a number that is too long", None, None) from error
    return _storable(_Reading().value(compose(text)))


def _looks_like_json(text: str) -> bool:
    return re.match(r'\s*\{\s*"', text) is not None


def compose(text: str) -> yaml.Node | None:
    text = text.lstrip("\ufeff")
    try:
        _refuse_depth(text)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _broken(
            error.problem or "it is not YAML", mark.line + 1 if mark else None, mark.column + 1 if mark else None
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _broken(str(error).splitlines()[0], None, None) from error


def _refuse_depth(text: str) -> None:
    """The composer recurses in C without a limit: some 50,000 opening brackets would end the whole process. The parser
    below it does not recurse."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                mark = event.start_mark
                raise _broken("it is nested too deeply", mark.line + 1, mark.column + 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Reading:
    """Turns nodes into values, and counts them: an alias inside aliases could make millions of a few lines."""

    def __init__(self) -> None:
        self.count = 0

    def value(self, node: yaml.Node | None, depth: int = 0) -> Any:
        if node is None:
            return None
        self.count += 1
        mark = node.start_mark
        if self.count > MOST_VALUES or depth > _DEEPEST:
            raise _broken("it holds too many values, or is nested too deeply", mark.line + 1, mark.column + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(each, depth + 1) for each in node.value]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            line, column = key.start_mark.line + 1, key.start_mark.column + 1
            if not isinstance(key, yaml.ScalarNode):
                raise _broken("a key must be text", line, column)
            if key.value in found:
                raise _broken(f"the key `{key.value}` is there twice", line, column)
            found[key.value] = self.value(value, depth + 1)
        return found


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL:
        return text.lower() == "true"
    try:
        if node.tag == _INT:
            return int(text)
        if node.tag == _FLOAT and math.isfinite(number := float(text)):
            return number
    except ValueError as error:
        raise _broken(f"`{text[:40]}` is no number", node.start_mark.line + 1, node.start_mark.column + 1) from error
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        raise _broken(f"the key `{next(key for key in names if names.count(key) > 1)}` is there twice", None, None)
    return found


def _no_constant(name: str) -> Any:
    raise _broken(f"{name} is not a number that JSON knows", None, None)


def _storable(document: Any) -> Any:
    waiting = [(document, 0)]
    while waiting:
        each, depth = waiting.pop()
        if isinstance(each, dict | list):
            if depth > _DEEPEST:
                raise _broken("it is nested too deeply", None, None)
            parts = [*each, *each.values()] if isinstance(each, dict) else each
            waiting.extend((part, depth + 1) for part in parts)
        elif isinstance(each, str) and _UNSTORABLE.search(each):
            raise _broken("it holds characters that are no text (NUL or half of a pair)", None, None)
        elif isinstance(each, float) and not math.isfinite(each):
            raise _broken("it holds a number that is too large", None, None)
    return document


def _broken(problem: str, line: int | None, column: int | None) -> Invalid:
    where = f" in line {line}" if line else ""
    cure = "check the indentation and quotes there" if line else "send YAML or JSON"
    return Invalid(
        "unreadable-document",
        f"The document cannot be read{where}: {problem}.",
        errors=[FieldProblem(problem=problem, cure=cure, line=line, column=column)],
    )


def with_lines(problems: list[FieldProblem], text: str) -> list[FieldProblem]:
    """The same problems, with line and column of what their pointers point to, as far as it is there."""
    try:
        root = compose(text)
    except Invalid:
        return problems
    return [_located(problem, root) for problem in problems]


def _located(problem: FieldProblem, root: yaml.Node | None) -> FieldProblem:
    node, mark = root, root.start_mark if root else None
    for step in problem.pointer.split("/")[1:]:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if escaped(pair[0].value) == step), None)
            if pair is None:
                break
            mark, node = pair[0].start_mark, pair[1]
        elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
            node = node.value[int(step)]
            mark = node.start_mark
        else:
            break
    return problem.model_copy(update={"line": mark.line + 1, "column": mark.column + 1}) if mark else problem


def write_yaml(document: Any) -> str:
    return yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, width=120)


def digest(document: Any) -> str:
    """Equal for equal content, however it was written."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
