"""What the routes are given by the composition root."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from servicekit.outbound import UrlPolicy

from notification.api.places import Places
from notification.store.wakes import Wakes


@dataclass(frozen=True)
class Parts:
    wakes: Wakes
    policy: UrlPolicy
    heartbeat_seconds: float
    poll_seconds: float
    places: Places = field(default_factory=Places)


def parts_of(request: Request) -> Parts:
    return request.app.state.service


PartsDep = Annotated[Parts, Depends(parts_of)]
