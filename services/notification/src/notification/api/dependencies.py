"""Objects that the composition root passes to the routes."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from servicekit.outbound import UrlPolicy

from notification.api.stream_slots import StreamSlots
from notification.store.notification_listener import NotificationListener


@dataclass(frozen=True)
class Dependencies:
    """Objects that the routes need; intervals in seconds."""

    listener: NotificationListener
    policy: UrlPolicy
    heartbeat_seconds: float
    poll_seconds: float
    stream_slots: StreamSlots = field(default_factory=StreamSlots)


def get_dependencies(request: Request) -> Dependencies:
    """The dependencies of the running service."""
    return request.app.state.service


DependenciesDep = Annotated[Dependencies, Depends(get_dependencies)]
