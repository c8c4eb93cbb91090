"""The simulated call centre of the demo tenant: a pure, seeded model of its calls, and a driver that posts them over
HTTP as a customer would and learns as its agents would. What it shows of training's effect is what it puts in."""

from all_in_one.simulation.centre import Centre, centre_of
from all_in_one.simulation.driver import Progress, run_history, run_live
from all_in_one.simulation.roster import Agent
from all_in_one.simulation.tenant import OPENED, Access, SimulationFailed, Tenant

__all__ = [
    "OPENED",
    "Access",
    "Agent",
    "Centre",
    "Progress",
    "SimulationFailed",
    "Tenant",
    "centre_of",
    "run_history",
    "run_live",
]
