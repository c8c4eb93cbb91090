"""The suites that flow tests speak to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flow.stack import StackSuite
from tests.flow.steps import set_up_tenant
from tests.flow.suite import Embedded


@pytest.fixture
def new_suite(tmp_path: Path) -> Iterator[Callable[[str], Embedded]]:
    """`new_suite(name)`: a suite with its data below the test's own folder, stopped when the test ends."""
    made: list[Embedded] = []

    def make(name: str) -> Embedded:
        (tmp_path / name).mkdir()
        made.append(Embedded(tmp_path / name / "data"))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture(scope="module")
def suite(started: Embedded) -> Embedded:
    """A started suite with the empty tenants `t1` and `t2`, alike to the last id; of one module only."""
    for tenant in ("t1", "t2"):
        set_up_tenant(started, tenant)
    return started


@pytest.fixture(scope="module")
def stack_suite(on_stack: StackSuite) -> StackSuite:
    """The same tenants on the real stack."""
    for tenant in ("t1", "t2"):
        set_up_tenant(on_stack, tenant)
    return on_stack
