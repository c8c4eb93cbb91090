"""The simulated call centre of the demo tenant: a pure, seeded model of its calls, and a driver that posts them over
HTTP as a customer would and learns as its agents would. What it shows of training's effect is what it puts in."""

from all_in_one.simulation.centre import Centre, build_centre
from all_in_one.simulation.driver import HistoryProgress, run_history, run_live
from all_in_one.simulation.roster import Agent
from all_in_one.simulation.tenant import FIRST_DAY_ATTRIBUTE, Access, SimulationFailed, TenantClient

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
