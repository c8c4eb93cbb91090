from datetime import date

import pytest
from all_in_one import demo
from all_in_one.simulation import Centre, centre_of

START = date(2026, 3, 2)


@pytest.fixture(scope="session")
def bundle():
    return demo.load(START)


@pytest.fixture(scope="session")
def centre(bundle) -> Centre:
    return centre_of(bundle["sections"]["identity"], featured="agent")
