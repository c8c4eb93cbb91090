"""Renders texts, which are Liquid templates, in a sandbox: no files, no assignment, few filters, bounded output."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from liquid import Environment, Mode, RenderContext
from liquid.builtin.expressions import FilteredExpression
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import LiquidError
from liquid.expression import Expression

MAX_SOURCE_CHARS = 4_000
MAX_SUBJECT_CHARS = 200
MAX_EXPRESSIONS = 200
MAX_FILTERS = 40
"""In one text: each filter may multiply the length of its input."""

# `replace` and the like are left out: in a chain they multiply the length of their input.
_TAGS = frozenset({
    "content", "output", "illegal", "if", "unless", "case", "for", "break", "continue", "comment", "#",
})  # fmt: skip
_FILTERS = frozenset({
    "abs", "append", "at_least", "at_most", "capitalize", "ceil", "default", "divided_by", "downcase", "escape", "floor",
    "minus", "modulo", "newline_to_br", "plus", "prepend", "round", "size", "strip", "times", "truncate", "upcase",
})  # fmt: skip


class _Sandbox(Environment):
    context_depth_limit = 10
    block_nesting_limit = 10
    loop_iteration_limit = 100
    local_namespace_limit = 10_000
    output_stream_limit = 20_000


def _sandbox(*, html: bool) -> Environment:
    sandbox = _Sandbox(tolerance=Mode.STRICT, autoescape=html)
    sandbox.tags = {name: tag for name, tag in sandbox.tags.items() if name in _TAGS}
    sandbox.filters = {name: each for name, each in sandbox.filters.items() if name in _FILTERS}
    return sandbox


_plain, _html = _sandbox(html=False), _sandbox(html=True)

_LAYOUT = _html.from_string(
    '<!doctype html><html lang="{{ language }}"><head><meta charset="utf-8"><title>{{ subject }}</title></head>'
    '<body style="font-family:sans-serif;line-height:1.5;max-width:40em"><p>{{ body | newline_to_br }}</p></body></html>'
)


class BadText(Exception):
    """A template that is invalid or cannot be rendered; the message is one sentence."""


def _parse_template_or_raise(source: str) -> Any:
    found = _parse_template_cached(source)
    if isinstance(found, str):
        raise BadText(found)
    return found


@lru_cache(maxsize=512)
def _parse_template_cached(source: str) -> Any:
    """The template, or the message of BadText."""
    try:
        return _parse_template(source)
    except BadText as bad:
        return str(bad)


def _parse_template(source: str) -> Any:
    if len(source) > MAX_SOURCE_CHARS:
        raise BadText(f"it is longer than {MAX_SOURCE_CHARS} characters")
    try:
        template = _plain.from_string(source)
    except (LiquidError, RecursionError) as error:
        raise BadText(_sentence(error)) from error
    _check_complexity(list(_expressions(template)))
    return template


def _check_complexity(expressions: list[Expression]) -> None:
    filters = sum(len(each.filters or ()) for each in expressions if isinstance(each, FilteredExpression))
    if filters > MAX_FILTERS:
        raise BadText(f"it has more than {MAX_FILTERS} filters")
    if len(expressions) > MAX_EXPRESSIONS:
        raise BadText(f"it has more than {MAX_EXPRESSIONS} expressions")
    if any(isinstance(each, RangeLiteral) for each in expressions):
        raise BadText("a range such as (1..3) is not allowed")


def _expressions(template: Any) -> Iterator[Expression]:
    """All expressions of a template. Iterative, so that nesting cannot exhaust the stack."""
    context = RenderContext(template)
    nodes: list[Any] = list(template.nodes)
    pending: list[Expression] = []
    while nodes or pending:
        if pending:
            each = pending.pop()
            yield each
            pending += each.children()
        else:
            node = nodes.pop()
            pending += node.expressions()
            nodes += node.children(context)


def render(source: str, context: dict[str, Any]) -> str:
    """Renders a template as plain text; unknown names are empty. Raises BadText."""
    try:
        return _parse_template_or_raise(source).render(**context).strip()
    except (
        LiquidError,
        ArithmeticError,
        ValueError,
        TypeError,
        RecursionError,
    ) as error:  # filters pass on what numbers raise
        raise BadText(_sentence(error)) from error


def render_subject(source: str, context: dict[str, Any]) -> str:
    """As `render`, on one line of up to MAX_SUBJECT_CHARS: a line break would start another header of the mail."""
    return " ".join(render(source, context).split())[:MAX_SUBJECT_CHARS]


def render_html_mail(subject: str, body: str, language: str) -> str:
    """Renders the HTML part of a mail. Markup in the texts and their values is escaped."""
    return _LAYOUT.render(subject=subject, body=body, language=language)


def _sentence(error: Exception) -> str:
    return str(error).split("\n")[0].strip()[:200]
