"""The same questions, asked of the real stack."""

import pytest
from testkit.programs.prometheus import Prometheus

from tests.flow.scenario import records_of
from tests.flow.stack import OnStack
from tests.flow.steps import send, set_up_tenant
from tests.observability.questions import require_answers


@pytest.mark.stack
@pytest.mark.timeout(240)
def test_every_panel_and_alert_has_data(on_stack: OnStack) -> None:
    set_up_tenant(on_stack, "seen")
    for day in range(7):
        assert send(on_stack, "seen", records_of(day))["rejected"] == 0
    on_stack.settle()
    prometheus = on_stack.stack.parts["prometheus"]
    assert isinstance(prometheus, Prometheus)
    require_answers(prometheus.url, seconds=90)
