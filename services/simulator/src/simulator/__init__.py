"""The demo tenant and its simulated call centre.

A model without I/O generates calls from a seed. A driver posts them over HTTP as a customer does, and completes trainings as
agents do. Trainings change the simulated calls by a formula (`Agent.habit_on`), so that the effect of training which the
demo shows is simulated too.
"""

from simulator.centre import Centre, build_centre
from simulator.driver import HistoryProgress, run_history, run_live
from simulator.roster import Agent
from simulator.tenant import FIRST_DAY_ATTRIBUTE, Access, SimulationFailed, TenantClient

__all__ = [
    "FIRST_DAY_ATTRIBUTE",
    "Access",
    "Agent",
    "Centre",
    "HistoryProgress",
    "SimulationFailed",
    "TenantClient",
    "build_centre",
    "run_history",
    "run_live",
]
