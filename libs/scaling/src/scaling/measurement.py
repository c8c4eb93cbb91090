"""What ran: replica-hours by Deployment, from Prometheus with kube-state-metrics."""

import re

import httpx

from scaling.costs import Cost

RESOLUTION_MINUTES = 1


class PrometheusError(Exception):
    """Prometheus refused, did not answer, or knows nothing; one sentence."""


def measure_costs(url: str, *, namespace: str, release: str, days: int) -> dict[str, Cost]:
    """By `service.role`, of the `days` before now. Replicas that are starting count, too. The static fleet has the most
    replicas of those days, for as long as there are figures. Raises PrometheusError."""
    # One series a Deployment, however many exporters there were.
    selector = (
        f'max by (deployment) (kube_deployment_status_replicas{{namespace="{namespace}",'
        f'deployment=~"{_escape(release)}-.+-(api|work)"}})'
    )
    sampled = f"[{days}d:{RESOLUTION_MINUTES}m]"
    by_name = {
        name: _query(url, f"{function}({selector}{sampled})")
        for name, function in (("sum", "sum_over_time"), ("count", "count_over_time"), ("max", "max_over_time"))
    }
    if not by_name["sum"]:
        raise PrometheusError(
            f"Prometheus has no kube_deployment_status_replicas of {release} in namespace {namespace} in {days} days."
        )
    samples_per_hour = 60 / RESOLUTION_MINUTES
    return {
        _to_role(deployment, release): Cost(
            replicas / samples_per_hour, by_name["max"][deployment] * by_name["count"][deployment] / samples_per_hour
        )
        for deployment, replicas in sorted(by_name["sum"].items())
    }


def _escape(text: str) -> str:
    """The text as a part of a pattern within a string of PromQL."""
    return re.escape(text).replace("\\", "\\\\").replace('"', '\\"')


def _to_role(deployment: str, release: str) -> str:
    service, _, role = deployment.removeprefix(f"{release}-").rpartition("-")
    return f"{service}.{role}"


def _query(url: str, expression: str) -> dict[str, float]:
    """An instant query's value by Deployment."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v1/query", params={"query": expression}, timeout=60)
        body = answer.json()
        if body["status"] != "success":
            raise PrometheusError(f"Prometheus refuses: {body['error']}.")
        return {each["metric"]["deployment"]: float(each["value"][1]) for each in body["data"]["result"]}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PrometheusError(f"Prometheus does not answer at {url} ({type(error).__name__}).") from error
    except (ValueError, LookupError, TypeError) as error:
        raise PrometheusError(f"What answers at {url} is not Prometheus.") from error
