"""The folder's own modules (`shift_file`, `wall_clock`) can be imported by tests, which pytest's importlib mode does not arrange."""

import sys
from datetime import date
from pathlib import Path

import pytest
from simulator import Centre, build_centre, demo

sys.path.insert(0, str(Path(__file__).parent))

START = date(2026, 3, 2)


@pytest.fixture(scope="session")
def bundle():
    return demo.load_blueprint(START)


@pytest.fixture(scope="session")
def centre(bundle) -> Centre:
    return build_centre(bundle["sections"]["identity"], featured="agent")
