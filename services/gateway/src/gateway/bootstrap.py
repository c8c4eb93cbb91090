"""Envoy's bootstrap configuration."""

import yaml

from gateway.clusters import clusters
from gateway.listener import listeners
from gateway.proto import Message, address, extension
from gateway.settings import GatewaySettings


def bootstrap(settings: GatewaySettings) -> Message:
    """The static bootstrap configuration as plain data. Raises ValueError for malformed addresses."""
    return {
        "node": {"id": "gateway", "cluster": "uplift"},
        "admin": {"address": address("127.0.0.1", settings.admin_port)},
        "static_resources": {"listeners": listeners(settings), "clusters": clusters(settings)},
        "overload_manager": _overload(settings),
    }


def render(settings: GatewaySettings) -> str:
    """The configuration as YAML; the same settings render the same text. Raises ValueError for malformed addresses."""
    return yaml.dump(bootstrap(settings), Dumper=PlainDumper, sort_keys=False, width=120, allow_unicode=True)


class PlainDumper(yaml.SafeDumper):
    """A YAML dumper without anchors and aliases: a value that is used twice is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        """True: no value is written as an alias."""
        return True


def _overload(settings: GatewaySettings) -> Message:
    heap, connections = (
        "envoy.resource_monitors.fixed_heap",
        "envoy.resource_monitors.global_downstream_max_connections",
    )
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            extension(
                heap,
                "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=settings.heap_bytes,
            ),
            extension(
                connections,
                "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=settings.connections,
            ),
        ],
        "actions": [
            _action("shrink_heap", heap, {"threshold": {"value": 0.85}}),
            _action("reset_high_memory_stream", heap, {"scaled": _scaled(0.88, 0.98)}),
            _action("disable_http_keepalive", heap, {"threshold": {"value": 0.92}}),
            _action("stop_accepting_requests", heap, {"threshold": {"value": 0.95}}),
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
    }


def _action(name: str, monitor: str, trigger: Message) -> Message:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": monitor, **trigger}]}


def _scaled(begin: float, full: float) -> Message:
    return {"scaling_threshold": begin, "saturation_threshold": full}
