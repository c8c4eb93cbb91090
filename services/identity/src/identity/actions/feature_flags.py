"""Feature flags in the audit log: what the file says is compared with what was recorded last.

The comparison is a due item of the platform tenant, because one process at a time holds it, and because rules of a flag name
customers. Its body is what was recorded last."""

from datetime import timedelta
from typing import Any

from servicekit.audit import record_changes
from servicekit.feature_flags import FeatureFlags
from storage import Session

WATCH_FLAGS_KIND = "feature_flags"
KIND = "feature_flag"
_REF = "file"
_PAUSE = timedelta(seconds=10)


async def start_watching(session: Session) -> None:
    """Schedules the first comparison, unless one is scheduled. `session` is the platform tenant's."""
    await session.schedule_if_absent(WATCH_FLAGS_KIND, _REF, session.now)


async def record_flag_changes(session: Session, flags: FeatureFlags, recorded: dict[str, Any]) -> None:
    """Records each flag whose definition differs from the one `recorded` last, and schedules the next comparison. A file older
    than the recorded one is of a process that has not been handed the new one yet: it changes nothing."""
    definitions, modified_ns = flags.read_definitions()
    if modified_ns > recorded.get("modified_ns", 0):
        await record_changes(session, KIND, recorded.get("definitions", {}), definitions)
        recorded = {"definitions": definitions, "modified_ns": modified_ns}
    await session.schedule(WATCH_FLAGS_KIND, _REF, session.now + _PAUSE, recorded)
