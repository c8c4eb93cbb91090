"""Every service of `contracts.ALL_SERVICES`, in that order, found by its entry point."""

from collections.abc import Sequence
from importlib.metadata import entry_points

from contracts import ALL_SERVICES
from servicekit import Service

_INSTALLED = {each.name: each for each in entry_points(group="uplift.services")}

SERVICES: Sequence[Service] = tuple(_INSTALLED[name].load() for name in ALL_SERVICES)
