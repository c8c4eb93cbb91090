"""Metrics of ingest: verdicts on records, and seconds of conversation and silence."""

import re
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import Counter
from servicekit.metrics import PublishedEvent

from ingest.store.receipts import VERDICTS

RECORDS: Final = Counter("uplift_records", "Records judged, by verdict; one that was held counts again", ["verdict"])
CALL_SECONDS: Final = Counter(
    "uplift_call_seconds",
    "Conversation, and silence in it, of live legs whose silence is known; a leg that is corrected counts again",
    ["part"],
)
METRICS: Final = (RECORDS, CALL_SECONDS)

_conversation, _silence = CALL_SECONDS.labels("conversation"), CALL_SECONDS.labels("silence")
for _verdict in VERDICTS:
    RECORDS.labels(_verdict)

# Two of a leg's about forty fields are needed; decoding the whole leg takes ten times as long. JSON escapes quotes within
# texts, so no text of a leg can match.
_search_silence_ms = re.compile(rb'"silence_vendor_ms":(\d+)').search
_search_conversation_ms = re.compile(rb'"conversation_ms":(\d+)').search


def count_verdicts(verdicts: Iterable[str]) -> None:
    """Counts records by verdict."""
    for verdict, count in Tally(verdicts).items():
        RECORDS.labels(verdict).inc(count)


def count_published(events: Sequence[PublishedEvent]) -> None:
    """Counts the seconds of conversation and silence of the live legs among these events."""
    for event in events:
        if event.topic == "legs" and event.value:
            _count_silence(event.value)


def _count_silence(leg: bytes) -> None:
    silence, conversation = _search_silence_ms(leg), _search_conversation_ms(leg)
    if silence and conversation and b'"void":true' not in leg:
        _conversation.inc(int(conversation[1]) / 1000)
        _silence.inc(int(silence[1]) / 1000)
