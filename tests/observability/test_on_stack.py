"""The same questions, asked of the real stack."""

import pytest
from testkit.programs.prometheus import Prometheus

from tests.flow.scenario import records_of
from tests.flow.stack import StackSuite
from tests.flow.steps import post_records, set_up_tenant
from tests.observability.monitoring_queries import require_answers


@pytest.mark.stack
@pytest.mark.timeout(240)
def test_every_panel_and_alert_has_data(on_stack: StackSuite) -> None:
    set_up_tenant(on_stack, "seen")
    for day in range(7):
        assert post_records(on_stack, "seen", records_of(day))["rejected"] == 0
    on_stack.wait_until_idle()
    prometheus = on_stack.stack.parts["prometheus"]
    assert isinstance(prometheus, Prometheus)
    require_answers(prometheus.url, seconds=90)
