# pyright: reportMissingTypeStubs=false
"""Which value a feature flag has for a tenant, by OpenFeature."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import Reason

from servicekit.feature_flags.declared import FeatureFlag
from servicekit.feature_flags.file import LOOK_SECONDS, FlagFile

FlagReason = Literal["rule", "file", "default", "disabled", "failed"]
"""A rule of the file took in the tenant; the file's default variant; the flag is not in the file; it is disabled there; the
file's rule failed. In the last three cases the flag has its declared default."""
_REASONS: dict[str, FlagReason] = {
    Reason.TARGETING_MATCH: "rule",
    Reason.STATIC: "file",
    Reason.DEFAULT: "file",
    Reason.DISABLED: "disabled",
}


@dataclass(frozen=True)
class FlagValue:
    """The value for a tenant, and why."""

    is_on: bool
    reason: FlagReason


class FeatureFlags:
    """The feature flags of a process, from a file (None: every flag has its default)."""

    def __init__(self, path: Path | None, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._file = FlagFile(path, look_seconds=look_seconds)
        domain = f"uplift-{id(self)}"
        api.set_provider_and_wait(self._file, domain)
        self._client = api.get_client(domain)

    def is_on(self, flag: FeatureFlag, tenant: str) -> bool:
        """Whether the flag is on for the tenant. Does not raise: where the file's rule fails, the flag has its default."""
        return self.evaluate(flag, tenant).is_on

    def evaluate(self, flag: FeatureFlag, tenant: str) -> FlagValue:
        """The flag's value for the tenant, with the reason."""
        found = self._client.get_boolean_details(flag.name, flag.default, EvaluationContext(targeting_key=tenant))
        if flag.name not in self._file.definitions:
            return FlagValue(found.value, "default")
        return FlagValue(found.value, _REASONS.get(found.reason or Reason.UNKNOWN, "failed"))

    def read_definitions(self) -> tuple[dict[str, Any], int]:
        """The definitions in force by name, as they stand in the file, and when the file was written, in nanoseconds since
        1970."""
        self._file.refresh()
        return self._file.definitions, self._file.modified_ns


@cache
def open_feature_flags(path: Path | None) -> FeatureFlags:
    """The feature flags of this file. All services of a process share them."""
    return FeatureFlags(path)
