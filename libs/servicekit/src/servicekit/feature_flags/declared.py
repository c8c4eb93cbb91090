"""Every feature flag there is. docs/feature-flags.md says how one is added, used and retired."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class FeatureFlag:
    """A switch for what is new and optional. `default`: where the file of flags says nothing of it; `owner`: the service that
    reads it; `expires_on`: the day by which it is retired, with one of its two ways through the code."""

    name: str
    description: str
    default: bool
    owner: str
    expires_on: date


PROVISIONAL_POINTS = FeatureFlag(
    name="provisional-points",
    description="A balance shows the points that the running workday would give if it ended now.",
    default=True,
    owner="gamification",
    expires_on=date(2027, 5, 31),
)

FLAGS: dict[str, FeatureFlag] = {each.name: each for each in (PROVISIONAL_POINTS,)}
"""All flags by name."""
