# pyright: reportMissingTypeStubs=false
"""The file of feature flags, in flagd's format, as an OpenFeature provider. It needs no server."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider
from openfeature.provider.metadata import Metadata

from servicekit.feature_flags.declared import FLAGS

log = logging.getLogger("uplift.flags")

LOOK_SECONDS = 5.0
"""How often the file is looked at."""
_Value = TypeVar("_Value")


class FlagFile(AbstractProvider):
    """The flags of `path` (None: there is no file, and every flag has its default). The file is looked at when a flag is
    asked for, at most once in `look_seconds`. A file that is not valid changes nothing: the last valid one holds, at first
    the defaults."""

    def __init__(self, path: Path | None, *, look_seconds: float = LOOK_SECONDS) -> None:
        super().__init__()
        self._path = path
        self._look_seconds = look_seconds
        self._looked_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._core = FlagdCore()
        self.modified_ns = 0
        """When the file that is in force was written, in nanoseconds since 1970."""
        self.definitions: dict[str, Any] = {}
        """The definitions in force, by name, as they stand in the file."""
        self.problem: str | None = None
        """Why the file that is there now is not in force; None: it is."""

    def get_metadata(self) -> Metadata:
        """The provider's name."""
        return Metadata(name="uplift-file")

    def refresh(self) -> None:
        """Reads the file if it has changed. Does not raise."""
        if self._path is None or time.monotonic() < self._looked_at + self._look_seconds:
            return
        self._looked_at = time.monotonic()
        try:
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            content = self._path.read_bytes()
            self._stamp = stamp
            self._take(json.loads(content), status.st_mtime_ns)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OpenFeatureError) as error:
            if isinstance(error, OSError):
                self._stamp = None  # read again as soon as that is possible
            problem = str(error) or type(error).__name__
            if problem != self.problem:
                log.error("The feature flags of %s are not taken: %s. The last ones hold.", self._path, problem)
            self.problem = problem

    def _take(self, content: dict[str, Any], modified_ns: int) -> None:
        """Puts the content in force. Raises ValueError, LookupError, TypeError, AttributeError or OpenFeatureError for one
        that is not valid, and changes nothing then."""
        definitions: dict[str, Any] = content.get("flags", {})
        for name, definition in definitions.items():
            if name in FLAGS and not all(isinstance(each, bool) for each in definition["variants"].values()):
                raise ValueError(f"the variants of `{name}` are not true or false")
        candidate = FlagdCore()
        # flagd's evaluator changes what it is given.
        candidate.set_flags(json.dumps(content))
        for name in sorted(FLAGS.keys() & definitions.keys()):
            candidate.resolve_boolean_value(name, FLAGS[name].default, EvaluationContext("a-tenant"))
        for name in sorted(definitions.keys() - FLAGS.keys()):
            log.warning("There is no feature flag `%s`. There are: %s.", name, ", ".join(sorted(FLAGS)))
        changed = sorted(
            name
            for name in definitions.keys() | self.definitions.keys()
            if definitions.get(name) != self.definitions.get(name)
        )
        if changed:
            log.info("Feature flags of %s in force; changed: %s", self._path, ", ".join(changed))
        self._core, self.definitions, self.modified_ns, self.problem = candidate, definitions, modified_ns, None

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """The value for the context's targeting key, a tenant. A flag that is not in the file has its default."""
        self.refresh()
        if flag_key not in self.definitions:
            return _default(default_value)
        return self._core.resolve_boolean_value(flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """The default: flags are true or false."""
        return _default(default_value)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """The default: flags are true or false."""
        return _default(default_value)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """The default: flags are true or false."""
        return _default(default_value)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """The default: flags are true or false."""
        return _default(default_value)


def _default(value: _Value) -> FlagResolutionDetails[_Value]:
    return FlagResolutionDetails(value, reason=Reason.DEFAULT)
