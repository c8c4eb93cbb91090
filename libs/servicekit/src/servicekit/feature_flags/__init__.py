"""Feature flags: declared in `declared`, read from a file in flagd's format by `file`, evaluated for a tenant by `evaluation`."""

from servicekit.feature_flags.declared import FLAGS, PROVISIONAL_POINTS, FeatureFlag
from servicekit.feature_flags.evaluation import FeatureFlags, FlagReason, FlagValue, open_feature_flags

__all__ = [
    "FLAGS",
    "PROVISIONAL_POINTS",
    "FeatureFlag",
    "FeatureFlags",
    "FlagReason",
    "FlagValue",
    "open_feature_flags",
]
