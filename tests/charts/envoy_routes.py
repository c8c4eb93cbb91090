"""Which way a request goes: by the configuration that `gateway render` writes, and by the objects of the chart.

Each side is read by rules of its own: Envoy takes the first route that matches; Envoy Gateway orders the rules of all
HTTPRoutes (internal/gatewayapi/sort.go of envoyproxy/gateway v1.6.0).
"""

import re
from dataclasses import dataclass
from typing import Any

from gateway.bootstrap import bootstrap
from gateway.settings import GatewaySettings

from tests.charts.objects import Object, Objects


@dataclass(frozen=True)
class Way:
    """What becomes of a request. `backend` None: it is answered with 404. Seconds; 0: no limit. `body_bytes` None: not
    limited here. `limited_by`: of what there is a bucket each."""

    backend: str | None
    answer_seconds: float = 0
    total_seconds: float = 0
    body_bytes: int | None = None
    retried: bool = False
    token: bool = False
    cors: bool = False
    limited_by: str = ""
    connections: int = 0


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    upgrade: str | None = None


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(ms|s)", text).groups()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    return float(number) / (1000 if unit == "ms" else 1)


def is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


class PlainEnvoy:
    def __init__(self, settings: GatewaySettings) -> None:
        self.configuration = bootstrap(settings)
        resources = self.configuration["static_resources"]
        manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        self.manager: dict[str, Any] = manager
        self.filters = {each["name"].rpartition(".")[2]: each["typed_config"] for each in manager["http_filters"]}
        self.routes: list[dict[str, Any]] = manager["route_config"]["virtual_hosts"][0]["routes"]
        self.clusters = {each["name"]: each for each in resources["clusters"]}

    def way(self, request: Request) -> Way:
        route = next(each for each in self.routes if self._matches(each["match"], request))
        if "direct_response" in route:
            return Way(None)
        action, per_filter = route["route"], route.get("typed_per_filter_config", {})
        high = action.get("priority") == "HIGH"
        thresholds = self.clusters[action["cluster"]]["circuit_breakers"]["thresholds"]
        return Way(
            {"provider": "keycloak"}.get(action["cluster"], action["cluster"]),
            seconds(action["timeout"]),
            seconds(action["max_stream_duration"]["max_stream_duration"]),
            None if "envoy.filters.http.buffer" in per_filter else self.filters["buffer"]["max_request_bytes"],
            "retry_policy" in action and request.method in ("GET", "HEAD"),
            self._needs_token(request),
            "envoy.filters.http.cors" in per_filter,
            "tenant" if self._needs_token(request) else "address",
            thresholds[1 if high else 0]["max_requests"],
        )

    def _needs_token(self, request: Request) -> bool:
        for rule in self.filters["jwt_authn"]["rules"]:
            if self._matches(rule["match"], request):
                return "requires" in rule
        return False

    def _matches(self, match: dict[str, Any], request: Request) -> bool:
        path = request.path
        fits = (
            ("path" in match and path == match["path"])
            or ("prefix" in match and path.startswith(match["prefix"]))
            or ("path_separated_prefix" in match and is_below(path, match["path_separated_prefix"]))
            or ("safe_regex" in match and re.fullmatch(match["safe_regex"]["regex"], path) is not None)
        )
        return fits and all(self._has(header, request) for header in match.get("headers", ()))

    @staticmethod
    def _has(header: dict[str, Any], request: Request) -> bool:
        value = {":method": request.method, "upgrade": request.upgrade}.get(header["name"])
        if value is None:
            return False  # no request here announces its length
        string = header["string_match"]
        if "safe_regex" in string:
            return re.fullmatch(string["safe_regex"]["regex"], value) is not None
        return (value.lower() if string.get("ignore_case") else value) == string["exact"]

    def rates(self) -> dict[str, int]:
        """Requests a second of a tenant and of an address."""
        return {
            "address" if len(each["entries"]) > 1 else each["entries"][0]["key"]: each["token_bucket"][
                "tokens_per_fill"
            ]
            for each in self.filters["local_ratelimit"]["descriptors"]
        }


class EnvoyGateway:
    _KINDS = {"Exact": 2, "RegularExpression": 1, "PathPrefix": 0}

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.rules = [
            (match, rule, route)
            for route in objects.of_kind("HTTPRoute").values()
            for rule in route["spec"]["rules"]
            for match in rule["matches"]
        ]
        self.rules.sort(key=self._order, reverse=True)

    def _order(self, rule: tuple[Object, Object, Object]) -> tuple[int, int, int, int]:
        match = rule[0]
        headers = [{"type": "Exact"}] if "method" in match else []
        headers += match.get("headers", [])
        exact = sum(each.get("type", "Exact") == "Exact" for each in headers)
        return self._KINDS[match["path"]["type"]], len(match["path"]["value"]), len(headers), exact

    def way(self, request: Request) -> Way:
        for match, rule, route in self.rules:
            if self._matches(match, request):
                return self._way(rule, route, request)
        return Way(None)

    def _way(self, rule: Object, route: Object, request: Request) -> Way:
        if "backendRefs" not in rule:
            return Way(None)
        traffic, security = self.policy("BackendTrafficPolicy", route), self.policy("SecurityPolicy", route)
        assert traffic is not None
        http = traffic["timeout"]["http"]
        (backend,) = rule["backendRefs"]
        body = traffic.get("requestBuffer", {}).get("limit")
        return Way(
            backend["name"].removeprefix("uplift-").removesuffix("-service"),
            seconds(http["requestTimeout"]),
            seconds(http["maxStreamDuration"]),
            int(body) if body else None,
            "retry" in traffic and request.method in ("GET", "HEAD"),
            "jwt" in (security or {}),
            "cors" in (security or {}),
            {"headers": "tenant", "sourceCIDR": "address"}[next(iter(self.selectors(traffic)[0][0]))],
            traffic["circuitBreaker"]["maxParallelRequests"],
        )

    def policy(self, kind: str, route: Object) -> Object | None:
        """The one policy that is for a route."""
        labels = route["metadata"]["labels"].items()
        found = [
            each["spec"]
            for each in self.objects.of_kind(kind).values()
            if any(target["matchLabels"].items() <= labels for target in each["spec"]["targetSelectors"])
        ]
        assert len(found) <= 1
        return found[0] if found else None

    @staticmethod
    def selectors(traffic: Object) -> list[tuple[Object, int]]:
        """Each rule's selector, and its requests a second."""
        rules = traffic["rateLimit"]["local"]["rules"]
        assert all(rule["limit"]["unit"] == "Second" for rule in rules)
        return [(selector, rule["limit"]["requests"]) for rule in rules for selector in rule["clientSelectors"]]

    @staticmethod
    def _matches(match: Object, request: Request) -> bool:
        path, value = match["path"], match["path"]["value"]
        fits = {
            "Exact": lambda: request.path == value,
            "PathPrefix": lambda: is_below(request.path, value),
            "RegularExpression": lambda: re.fullmatch(value, request.path) is not None,
        }[path["type"]]()
        upgrades = all(
            header["name"] == "upgrade" and re.fullmatch(header["value"], request.upgrade or "") is not None
            for header in match.get("headers", ())
        )
        return fits and upgrades and match.get("method", request.method) == request.method
