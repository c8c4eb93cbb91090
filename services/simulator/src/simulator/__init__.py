"""The simulated call centre of the demo tenant: a pure, seeded model of its calls, and a driver that posts them over
HTTP as a customer would and learns as its agents would. What it shows of training's effect is what it puts in."""

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
