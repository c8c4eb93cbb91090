"""Problems of expressions."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class ExpressionProblem:
    """A problem. `at`: the offset from the start of the expression, in characters."""

    at: int
    problem: str
    cure: str = ""


def nearest(name: str, valid: Sequence[str]) -> str:
    """A cure for an unknown name: the most similar valid name, else all of them."""
    found = get_close_matches(name[:64].lower(), valid, n=1, cutoff=0.6)
    return f"Did you mean `{found[0]}`?" if found else f"One of: {', '.join(sorted(valid))}."
