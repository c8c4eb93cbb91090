"""Scans an expression before sqlglot parses it, in one pass over its characters.

A parser of all of SQL tries several readings of a word that may be a type or a clause, each nested in the one before, which
doubles the time with every level. So it gets only words of our own list, with limits on length, tokens and depth.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from sqlglot.dialects.postgres import Postgres

from kpi_engine.model.functions import Operator, entries, function_names
from kpi_engine.model.problem import ExpressionProblem, nearest

MAX_EXPRESSION_CHARS = 4000
MAX_TOKENS = 1000
MAX_DEPTH = 30
"""Levels of parentheses and `case` together, and signs or `not` in a row."""

_FUNCTIONS = function_names()
_KEYWORDS = frozenset({"true", "false", "null", *(word for each in entries() for word in each.words)})
_OPERATORS = [each for each in entries() if isinstance(each, Operator) and each.parsed_from]
_SIGNS = " ".join(dict.fromkeys(each.shown for each in _OPERATORS if not each.words))
_PREFIXES = frozenset({"not", "-", "+"})
_QUERY = frozenset({"select", "values", "with", "from"})
_SQL = {word.lower() for key in Postgres.Tokenizer.KEYWORDS for word in key.split()} | {"symmetric"} - {*_FUNCTIONS}

_TOKEN = re.compile(
    r"(?P<space>\s+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<text>'(?:[^']|'')*')"
    r'|(?P<quoted>"(?:[^"]|"")+")'
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<sign>=>|<=|>=|<>|!=|[-+*/=<>(),.])"
    r"|(?P<other>::|.)",
    re.DOTALL,
)

_NO_LINE_END = re.compile(r"[^\n]")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """The word in lower case; empty for other tokens."""
        return self.text.lower() if self.kind == "word" else self.text[1:-1] if self.kind == "quoted" else ""


def scan(text: str, columns: Collection[str]) -> tuple[str, list[ExpressionProblem]]:
    """The expression with spaces in place of comments, and the problems for which it must not be parsed. Linear time."""
    if len(text) > MAX_EXPRESSION_CHARS:
        return "", [
            ExpressionProblem(0, f"The expression is longer than {MAX_EXPRESSION_CHARS} characters.", "Split it.")
        ]
    if "\x00" in text:
        return "", [ExpressionProblem(text.index("\x00"), "The expression contains a NUL character.", "Remove it.")]
    found = [_Token(str(match.lastgroup), match[0], match.start()) for match in _TOKEN.finditer(text)]
    tokens = [token for token in found if token.kind != "space"]
    if len(tokens) > MAX_TOKENS:
        problem = f"The expression has more than {MAX_TOKENS} words and signs."
        return "", [ExpressionProblem(tokens[MAX_TOKENS].at, problem, "Split it.")]
    clean = "".join(_NO_LINE_END.sub(" ", token.text) if token.kind == "space" else token.text for token in found)
    return clean, _depth_problem(tokens) or _query_problem(tokens) or _word_problems(tokens, columns)


def _depth_problem(tokens: list[_Token]) -> list[ExpressionProblem]:
    depth = prefixes = 0
    for token in tokens:
        sign = token.text if token.kind == "sign" else token.word if token.kind == "word" else ""
        prefixes = prefixes + 1 if sign in _PREFIXES else 0
        depth += (sign in ("(", "case")) - (sign in (")", "end"))
        if max(depth, prefixes) > MAX_DEPTH:
            return [ExpressionProblem(token.at, "The expression is nested too deeply.", f"At most {MAX_DEPTH} levels.")]
    return []


def _query_problem(tokens: list[_Token]) -> list[ExpressionProblem]:
    return [
        ExpressionProblem(token.at, "Sub-queries are not allowed.", "Name the columns of the facts.")
        for token in tokens
        if token.kind == "word" and token.word in _QUERY
    ][:1]


def _word_problems(tokens: list[_Token], columns: Collection[str]) -> list[ExpressionProblem]:
    problems: list[ExpressionProblem] = []
    around = [_Token("", "", 0), *tokens, _Token("", "", 0)]
    for before, token, after in zip(around, around[1:], around[2:], strict=False):
        if token.kind == "other":
            problems.append(_refused_sign(token))
        elif token.kind in ("word", "quoted") and before.text != "." and after.text != "=>":
            problem = _word_problem(token, after.text, columns)
            problems += [problem] if problem else []
        elif token.kind in ("word", "quoted") and after.text == "(":
            problems.append(_no_function(token))
    return problems


def _refused_sign(token: _Token) -> ExpressionProblem:
    if token.text == ";":
        return ExpressionProblem(token.at, "One expression is wanted.", "Remove the `;`.")
    if token.text in "'\"":
        return ExpressionProblem(token.at, "The expression cannot be read: a quote is not closed.", "Close the quote.")
    cure = f"There are {_SIGNS} and words such as `and`, `in`, `case`."
    return ExpressionProblem(token.at, f"`{token.text}` is not allowed in a KPI model.", cure)


def _no_function(token: _Token) -> ExpressionProblem:
    return ExpressionProblem(
        token.at, f"The function `{token.word[:40]}` is not allowed.", nearest(token.word, _FUNCTIONS)
    )


def _word_problem(token: _Token, after: str, columns: Collection[str]) -> ExpressionProblem | None:
    word = token.word
    if token.kind == "word" and word in _KEYWORDS:
        return None
    if after == "(":
        return None if token.kind == "word" and word in _FUNCTIONS else _no_function(token)
    if word in columns or (token.kind == "word" and word == "attributes" and after == "."):
        return None
    if token.kind == "word" and word in _SQL:
        return ExpressionProblem(
            token.at, f"`{word[:40]}` is not allowed in a KPI model.", nearest(word, list(columns))
        )
    if after == ".":
        cure = "Columns have no table; an attribute is `attributes.name`."
        return ExpressionProblem(token.at, f"`{word[:40]}.` is not allowed in a KPI model.", cure)
    return ExpressionProblem(
        token.at, f"There is no column `{token.text.strip(chr(34))[:40]}`.", nearest(word, list(columns))
    )
