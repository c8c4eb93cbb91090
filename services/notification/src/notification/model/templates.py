"""Texts as Liquid templates, in a sandbox: no files, no assignment, few filters, bounded output."""

from functools import lru_cache
from typing import Any

from liquid import Environment, Mode
from liquid.exceptions import LiquidError

SOURCE_LENGTH = 4_000
SUBJECT_LENGTH = 200

# `replace` and the like are left out: in a chain they multiply what they are given.
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
    loop_iteration_limit = 500
    local_namespace_limit = 10_000
    output_stream_limit = 20_000


def _sandbox(*, html: bool) -> Environment:
    made = _Sandbox(tolerance=Mode.STRICT, autoescape=html)
    made.tags = {name: tag for name, tag in made.tags.items() if name in _TAGS}
    made.filters = {name: each for name, each in made.filters.items() if name in _FILTERS}
    return made


_plain, _html = _sandbox(html=False), _sandbox(html=True)

_LAYOUT = _html.from_string(
    '<!doctype html><html lang="{{ language }}"><head><meta charset="utf-8"><title>{{ subject }}</title></head>'
    '<body style="font-family:sans-serif;line-height:1.5;max-width:40em"><p>{{ body | newline_to_br }}</p></body></html>'
)


class BadText(Exception):
    """A template that cannot be used; the message is one sentence."""


@lru_cache(maxsize=512)
def _parsed(source: str) -> Any:
    if len(source) > SOURCE_LENGTH:
        raise BadText(f"it is longer than {SOURCE_LENGTH} characters")
    try:
        return _plain.from_string(source)
    except LiquidError as error:
        raise BadText(_sentence(error)) from error


def render(source: str, context: dict[str, Any]) -> str:
    """The text as plain text. Unknown names are empty. Raises BadText."""
    try:
        return _parsed(source).render(**context).strip()
    except (LiquidError, ArithmeticError, ValueError, TypeError) as error:  # filters pass on what numbers raise
        raise BadText(_sentence(error)) from error


def render_subject(source: str, context: dict[str, Any]) -> str:
    """One line: a line break in a subject would be another header of a mail."""
    return " ".join(render(source, context).split())[:SUBJECT_LENGTH]


def html_mail(subject: str, body: str, language: str) -> str:
    """The mail's HTML part. Whatever the texts and their values hold is shown, never understood, as markup."""
    return _LAYOUT.render(subject=subject, body=body, language=language)


def _sentence(error: Exception) -> str:
    return str(error).split("\n")[0].strip()[:200]
