"""Objects that a chart renders, and what is asked of them again and again."""

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]


def hook_of(each: Object) -> str | None:
    """When Helm makes it, if not with the release."""
    return each["metadata"].get("annotations", {}).get("helm.sh/hook")


class Objects(list[Object]):
    def of_kind(self, kind: str) -> dict[str, Object]:
        """By name."""
        return {each["metadata"]["name"]: each for each in self if each["kind"] == kind}

    def pods(self) -> Iterator[tuple[str, Object]]:
        """`Kind name` and the pod template of every workload."""
        for each in self:
            if each["kind"] in ("Deployment", "Job"):
                yield f"{each['kind']} {each['metadata']['name']}", each["spec"]["template"]

    def environment_of(self, kind: str, name: str) -> dict[str, str]:
        """The variables of the one container: a text, or `secret: <name>`."""
        (container,) = self.of_kind(kind)[name]["spec"]["template"]["spec"]["containers"]
        return {
            each["name"]: each["value"] if "value" in each else f"secret: {each['valueFrom']['secretKeyRef']['name']}"
            for each in container.get("env", ())
        }
