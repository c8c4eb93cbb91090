"""The published list of problem types is what the code raises, no more and no less."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gateway.replies import REFUSALS
from identity.actions.sessions import LogoutRefused
from servicekit import errors
from servicekit.problems import PROBLEM_TYPES

ROOT = Path(__file__).parents[2]
STATUSES = {
    each.__name__: each.status for each in vars(errors).values() if isinstance(each, type) and hasattr(each, "status")
}
STATUSES |= {"LogoutRefused": LogoutRefused.status, "ProviderRefused": 409, "TookTooLong": 422}


def raised() -> Iterator[tuple[str, int]]:
    for root in ("libs", "services"):
        for path in (ROOT / root).glob("*/src/**/*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id in STATUSES
                    and node.args
                ):
                    slug = node.args[0]
                    if isinstance(slug, ast.Constant) and isinstance(slug.value, str) and slug.value:
                        yield slug.value, STATUSES[node.func.id]


def test_every_type_that_is_raised_is_published_with_its_status() -> None:
    found: dict[str, set[int]] = defaultdict(set)
    for slug, status in [*raised(), *((each.slug, each.replacement_status or each.status) for each in REFUSALS)]:
        found[slug].add(status)
    assert {slug: set(each.statuses) for slug, each in PROBLEM_TYPES.items()} == found


def test_each_says_what_to_do() -> None:
    assert all(each.title and each.cure.endswith(".") for each in PROBLEM_TYPES.values())
