"""The demo tenant and its simulated call centre: a pure, seeded model of calls, and a driver that posts them over HTTP as a
customer would and completes trainings as agents would. The effect of training that it shows is the one it simulates."""

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
