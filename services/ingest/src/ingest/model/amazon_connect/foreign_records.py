"""Refusals of records that Amazon Connect's connector does not read: what each seems to be, and what to send instead."""

from pydantic import JsonValue

from ingest.model.refusal import Refusal

# Names of DescribeContact, SearchContacts and contact events, none of which a contact record has.
_NOT_A_RECORD = ("AgentInfo", "QueueInfo", "agentInfo", "queueInfo", "Contact", "Contacts")


def find_api_answer(record: dict[str, JsonValue]) -> str | None:
    """The field that only answers of the API have, not contact records; None if the record has none of them."""
    return next((name for name in _NOT_A_RECORD if name in record), None)


def api_answer_refusal(field: str) -> Refusal:
    """The refusal of an answer of the API, which has this field."""
    reason = (
        "This is an answer of the API (DescribeContact, SearchContacts), which lacks the talk time; no contact record."
    )
    cure = "Send the contact records that the instance streams to Kinesis: they have `Agent` and `Queue`."
    return Refusal(field, reason, cure)


def unsupported_refusal(record: dict[str, JsonValue]) -> Refusal:
    """The refusal of a record of another kind; it names the kind if it is known."""
    if "JobName" in record and "ConversationCharacteristics" in record:
        reason = "This is an Amazon Transcribe call analytics job: it names neither a contact nor the time of the call."
        return Refusal("JobName", reason, "Send the Contact Lens analysis, whose CustomerMetadata names the contact.")
    if "evaluationId" in record and "schemaVersion" in record:
        reason = "This is an Amazon Connect evaluation export: the score of a form, not a call."
        return Refusal("evaluationId", reason, "Score calls with a form of the forms service.")
    if ("conversationId" in record and "participants" in record) or "conversations" in record:
        reason = "This is a Genesys Cloud conversation detail, another vendor's format."
        return Refusal("conversationId", reason, "Map it to CSV or NDJSON and send it to a source of vendor generic.")
    nested = [record, *(value for value in record.values() if isinstance(value, dict))]
    if any("workspace_sid" in value or "account_sid" in value for value in nested):
        reason = "This is Twilio TaskRouter, another vendor's format, and no finished call."
        return Refusal("account_sid", reason, "Map calls to CSV or NDJSON and send them to a source of vendor generic.")
    if "ContactId" in record and "Segments" in record:
        reason = "This is a real-time Contact Lens segment; the figures of the whole call come after it."
        return Refusal("Segments", reason, "Send the post-call analysis.")
    if "ContactId" in record:
        return Refusal("InitiationTimestamp", "It is missing.", "Send the whole contact record.")
    names = ", ".join(list(record)[:5])
    found = f"With the fields {names[:200]}" if names else "Without any field"
    reason = f"{found} this is no Amazon Connect record that is known here."
    return Refusal("", reason, "Send contact records, Contact Lens analyses, contact events or agent events.")
