"""When the reading of a body stops because of its rejected records, and how many of these are stored."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.model.payload import Record
from ingest.model.refusal import Refusal

MAX_REASONS = 100  # distinct reasons that are counted
HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class RejectLimits:
    """Limits of rejected records. Reading stops when the first `same_reason` records are all rejected for one reason, when
    the first `any_reason` are all rejected, when later at least `any_reason_share` of all are, or after `max_rejects`. A
    receipt lists `max_listed` of them, or `max_examples` when no record was accepted. `max_rejects_per_hour`: of one
    tenant."""

    same_reason: int = 100
    any_reason: int = 1000
    any_reason_share: float = 0.99
    max_rejects: int = 100_000
    max_listed: int = 1000
    max_examples: int = 10
    max_rejects_per_hour: int = 1_000_000


@dataclass
class HourlyCounter:
    """Counts what each tenant sends within an hour, in this process."""

    limit: int
    clock: Callable[[], float] = time.monotonic
    _counts: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])

    def add(self, tenant: str, count: int) -> None:
        """Adds to the tenant's count."""
        begun, before = self._of(tenant)
        self._counts[tenant] = begun, before + count

    def retry_after_seconds(self, tenant: str) -> int:
        """Seconds until the tenant may send more; 0: now."""
        begun, count = self._of(tenant)
        return max(1, round(begun + HOUR_SECONDS - self.clock())) if count >= self.limit else 0

    def _of(self, tenant: str) -> tuple[float, int]:
        found = self._counts.get(tenant)
        return found if found and self.clock() - found[0] < HOUR_SECONDS else (self.clock(), 0)


@dataclass
class RejectTally:
    """Counts of one body: records read, records rejected, and how many of these are stored."""

    bounds: RejectLimits
    seen: int = 0
    rejected: int = 0
    kept: int = 0
    _why: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    _reasons: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def accept(self) -> None:
        """Counts a record that was not rejected."""
        self.seen += 1

    def reject(self, refusal: Refusal) -> bool:
        """Counts a rejected record. Returns whether it is to be stored."""
        self.seen += 1
        self.rejected += 1
        why = (refusal.field, refusal.cure)  # not the reason, which quotes the value
        if why in self._why or len(self._why) < MAX_REASONS:
            self._why[why] += 1
            self._reasons.setdefault(why, refusal.reason)
        if self.kept >= self.bounds.max_listed:
            return False
        self.kept += 1
        return True

    def find_stop_reason(self) -> Refusal | None:
        """Why the reading of the body stops; None: it goes on."""
        bounds, seen, rejected = self.bounds, self.seen, self.rejected
        if seen == rejected == bounds.same_reason and len(self._why) == 1:
            return self._refusal(f"The first {seen:,} records were all rejected for the same reason")
        if seen == rejected == bounds.any_reason:
            return self._refusal(f"The first {seen:,} records were all rejected")
        if rejected > bounds.any_reason and rejected >= bounds.any_reason_share * seen:
            return self._refusal(f"Of {seen:,} records {rejected:,} were rejected")
        if rejected >= bounds.max_rejects:
            return self._refusal(f"{rejected:,} records were rejected, more than one body may bring")
        return None

    def _refusal(self, what: str) -> Refusal:
        (kind, times), *_ = self._why.most_common(1)
        (field, cure), reason = kind, self._reasons[kind]
        where = f"`{field}`: " if field else ""
        often = "" if times == self.rejected else f" (the most frequent of them, {times:,} times)"
        why = f"{what}. {where}{reason}{often} Nothing after them was read."
        return Refusal(field, why, f"{cure} Then send the file again.".strip())


def hourly_limit_refusal(tenant_hourly: int) -> Refusal:
    """The refusal of a body whose tenant exceeds its hourly limit of rejected records."""
    reason = f"More than {tenant_hourly:,} records were rejected within the hour. Nothing more was read."
    return Refusal("", reason, "Mend what is sent, and send it later.")


def whole_body_record(number: int, line: int, refusal: Refusal) -> Record:
    """The record that stands for the unread rest of a body."""
    return Record(number, line, "", refusal=refusal, is_whole_body=True)
