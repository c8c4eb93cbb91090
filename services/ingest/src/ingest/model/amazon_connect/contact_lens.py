"""Contact Lens: Amazon Connect's analyses of calls and chats, after its pages "Example Contact Lens output files"."""

from typing import Any

from pydantic import JsonValue

from ingest.model import field_readers
from ingest.model.field_readers import check_order, read_object, read_text, read_whole_number
from ingest.model.parts import Analysis, Part
from ingest.model.refusal import Refusal

AS_WRITTEN = "Send it as Amazon Connect writes it."


def read(record: dict[str, Any]) -> Part:
    """The part that an analysis is. Raises Refusal."""
    metadata = read_object(record, "CustomerMetadata") or {}
    contact = read_text(metadata, "ContactId", "CustomerMetadata.")
    if contact is None:
        reason = "The analysis does not name the contact that it belongs to."
        raise Refusal("CustomerMetadata.ContactId", reason, "Send the file as Contact Lens wrote it to your bucket.")
    status = read_text(record, "JobStatus")
    if status not in (None, "COMPLETED"):
        raise Refusal(
            "JobStatus",
            f"The analysis is {field_readers.quote_value(status)}, not COMPLETED.",
            "Send it when it is complete.",
        )
    at = "ConversationCharacteristics."
    found = read_object(record, "ConversationCharacteristics") or {}
    facts = Analysis(conversation_ms=read_whole_number(found, "TotalConversationDurationMillis", at))
    if silence := read_object(found, "NonTalkTime", at):
        facts.silence_vendor_ms = read_whole_number(silence, "TotalTimeMillis", f"{at}NonTalkTime.")
        if facts.silence_vendor_ms is not None and facts.silence_vendor_ms > (
            facts.conversation_ms or field_readers.MAX_DURATION_MS
        ):
            raise Refusal(f"{at}NonTalkTime.TotalTimeMillis", "It is longer than the conversation.", AS_WRITTEN)
        if silence.get("Instances") is not None:
            facts.gaps = _stretches(silence["Instances"], f"{at}NonTalkTime.Instances", facts.conversation_ms)
    if interruptions := read_object(found, "Interruptions", at):
        facts.overtalk_ms = read_whole_number(interruptions, "TotalTimeMillis", f"{at}Interruptions.")
        facts.interruptions = _by_agents(record, interruptions, f"{at}Interruptions.")
    facts.sentiment = _sentiment(record, found)
    return Part(kind="analysis", contact=contact, facts=facts)


def _stretches(found: JsonValue, field: str, conversation: int | None) -> list[tuple[int, int]]:
    if not isinstance(found, list):
        raise Refusal(field, f"{field_readers.quote_value(found)} is not a list.", AS_WRITTEN)
    field_readers.check_stretch_count(found, field)
    stretches: list[tuple[int, int]] = []
    for index, item in enumerate(found):
        at = f"{field}[{index}]"
        if not isinstance(item, dict):
            raise Refusal(at, f"{field_readers.quote_value(item)} is not an object.", AS_WRITTEN)
        begin = read_whole_number(item, "BeginOffsetMillis", f"{at}.")
        end = read_whole_number(item, "EndOffsetMillis", f"{at}.")
        if begin is None or end is None:
            raise Refusal(at, "It lacks BeginOffsetMillis or EndOffsetMillis.", AS_WRITTEN)
        check_order(begin, end, f"{at}.EndOffsetMillis", "BeginOffsetMillis")
        if conversation is not None and end > conversation + field_readers.ROUNDING_TOLERANCE_MS:
            raise Refusal(f"{at}.EndOffsetMillis", "It lies after the end of the conversation.", AS_WRITTEN)
        stretches.append((begin, end))
    return sorted(stretches)


def _participants(record: dict[str, Any], role: str) -> set[str]:
    """The ids of the participants with a role; older analyses use the role as id."""
    found: JsonValue = record.get("Participants")
    ids = {role}
    for item in found if isinstance(found, list) else []:
        if isinstance(item, dict) and item.get("ParticipantRole") == role:
            id = item.get("ParticipantId")
            if isinstance(id, str):
                ids.add(id)
    return ids


def _by_agents(record: dict[str, Any], interruptions: dict[str, Any], at: str) -> int | None:
    by = read_object(interruptions, "InterruptionsByInterrupter", at)
    if by is None:
        return None
    by, _ = _by_participant(by, f"{at}InterruptionsByInterrupter.")
    agents = _participants(record, "AGENT")
    return sum(len(items) for who, items in by.items() if who in agents and isinstance(items, list))


def _sentiment(record: dict[str, Any], found: dict[str, Any]) -> int | None:
    """The customer's overall sentiment, in hundredths; None: unknown."""
    at = "ConversationCharacteristics.Sentiment."
    overall = read_object(read_object(found, "Sentiment", "ConversationCharacteristics.") or {}, "OverallSentiment", at)
    if overall is None:
        return None
    at += "OverallSentiment."
    scores, at = _by_participant(overall, at)
    for who in sorted(_participants(record, "CUSTOMER")):
        score = scores.get(who)
        if score is None:
            continue
        if isinstance(score, bool) or not isinstance(score, int | float) or not -5 <= score <= 5:
            raise Refusal(f"{at}{who}", f"{field_readers.quote_value(score)} is not from -5 to 5.", AS_WRITTEN)
        return round(score * 100)
    return None


def _by_participant(found: dict[str, JsonValue], at: str) -> tuple[dict[str, JsonValue], str]:
    """Participant → value, and the path of that object: the analysis of a chat has it one level deeper than that of a call."""
    for name in ("DetailsByParticipantRole", "DetailsByParticipant"):
        if (deeper := read_object(found, name, at)) is not None:
            return deeper, f"{at}{name}."
    return found, at
