"""The services as values, found by the names that the topics know them by."""

from collections.abc import Sequence
from importlib import import_module

import pytest
from contracts import ALL_SERVICES
from servicekit import Service
from storage import schema_name


@pytest.fixture(scope="session")
def services() -> Sequence[Service]:
    return [import_module(f"{schema_name(name)}.service").service for name in ALL_SERVICES]
