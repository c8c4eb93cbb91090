"""Amazon Connect's contact records, contact events and agent events.

The meaning of each field follows the vendor's administrator guide: "Contact records data model" (initiation methods,
disconnect reasons, agent, queue, abandoned contacts), "Identify conferences and transfers by using contact records",
"Example Contact Lens output files" (for calls and for chats), "Contact events", "Agent event streams data model".
"""

from typing import Any, Literal

from msgspec import Struct
from pydantic import JsonValue

from ingest.model import field_readers
from ingest.model.amazon_connect import contact_lens
from ingest.model.amazon_connect.foreign_records import api_answer_refusal, find_api_answer, unsupported_refusal
from ingest.model.field_readers import (
    ReadContext,
    check_durations_agree,
    check_order,
    check_talk_fits,
    read_object,
    read_required_text,
    read_text,
    read_whole_number,
)
from ingest.model.parts import Contact, ContactEvent, Part, StateNotice
from ingest.model.refusal import Refusal

CHANNELS = {"VOICE": "voice", "CHAT": "chat", "TASK": "task", "EMAIL": "email"}
# None: a further leg, in the direction of the interaction's first contact.
DIRECTIONS: dict[str, str | None] = {
    "INBOUND": "inbound", "OUTBOUND": "outbound", "TRANSFER": None, "QUEUE_TRANSFER": None, "CALLBACK": "outbound",
    "API": "outbound", "DISCONNECT": None, "MONITOR": "internal", "EXTERNAL_OUTBOUND": "outbound",
    "WEBRTC_API": "inbound", "AGENT_REPLY": "outbound", "FLOW": "internal", "CAMPAIGN_PREVIEW": "outbound",
}  # fmt: skip
TRANSFERS = {"TRANSFER", "QUEUE_TRANSFER"}
# Contacts in which no customer waits, or that are not the customer's: they cannot be abandoned.
NOBODY_WAITS = {"OUTBOUND", "CALLBACK", "EXTERNAL_OUTBOUND", "MONITOR", "AGENT_REPLY", "FLOW", "CAMPAIGN_PREVIEW"}
# DisconnectReason → whether the customer ended the contact.
_ELSE = False
REASONS: dict[str, bool] = {
    "CUSTOMER_DISCONNECT": True,
    "TELECOM_ORIGINATOR_CANCEL": True,  # of an incoming call: the customer cancels before the connection
    **dict.fromkeys((
        "AGENT_DISCONNECT", "THIRD_PARTY_DISCONNECT", "TELECOM_PROBLEM", "TELECOM_BUSY", "TELECOM_NUMBER_INVALID",
        "TELECOM_POTENTIAL_BLOCKING", "TELECOM_UNANSWERED", "TELECOM_TIMEOUT", "CUSTOMER_NEVER_ARRIVED",
        "CONTACT_FLOW_DISCONNECT", "BARGED", "OTHER", "OUTBOUND_DESTINATION_ENDPOINT_ERROR", "OUTBOUND_RESOURCE_ERROR",
        "OUTBOUND_ATTEMPT_FAILED", "OUTBUND_PREVIEW_DISCARDED", "OUTBOUND_PREVIEW_DISCARDED", "EXPIRED",
        "AGENT_NETWORK_DISCONNECT", "CUSTOMER_CONNECTION_NOT_ESTABLISHED", "API", "IDLE_DISCONNECT", "SYSTEM_ERROR",
        "AGENT_COMPLETED", "TRANSFERRED", "DISCARDED",
    ), _ELSE),
}  # fmt: skip
EVENTS = {
    "INITIATED", "CONNECTED_TO_SYSTEM", "CONTACT_DATA_UPDATED", "QUEUED", "CONNECTED_TO_AGENT", "DISCONNECTED",
    "PAUSED", "RESUMED", "COMPLETED", "WEBRTC_PARTICIPANT_UPDATED", "AMD_DISABLED", "CAMPAIGN_UPDATED",
}  # fmt: skip
AGENT_EVENTS = {"HEART_BEAT", "LOGIN", "LOGOUT", "STATE_CHANGE"}
_AS_WRITTEN = contact_lens.AS_WRITTEN


class Options(Struct, forbid_unknown_fields=True, frozen=True):
    """Settings of a source. `time_zone` is assumed for time stamps without one; `reason_attribute` names the contact
    attribute that holds the reason of the call. `keep_attributes`, where it is given, names the contact attributes that
    are kept, whatever they hold, and no other is; where it is left out, all are but those that look like a number or
    address. `channels`, `initiation_methods` and `disconnect_reasons` translate values that this release does not know.
    """

    time_zone: str | None = None
    reason_attribute: str | None = None
    keep_attributes: list[str] | None = None
    channels: dict[str, Literal["voice", "chat", "task", "email"]] = {}
    initiation_methods: dict[str, Literal["inbound", "outbound", "internal", "transfer"]] = {}
    disconnect_reasons: dict[str, Literal["customer", "other"]] = {}


def read(record: dict[str, Any], reading: ReadContext, options: Options) -> Part | StateNotice:
    """The part that a record is. Raises Refusal."""
    if "detail-type" in record and "detail" in record:
        if record["detail-type"] != "Amazon Connect Contact Event":
            what = field_readers.quote_value(record["detail-type"])
            raise Refusal("detail-type", f"{what} is not a contact event.", "Route only contact events to this source.")
        return _contact_event(read_object(record, "detail") or {}, reading, options, "detail.")
    if "eventType" in record and "contactId" in record:
        return _contact_event(record, reading, options, "")
    if "AgentARN" in record and "EventType" in record:
        return _agent_event(record, reading)
    if "ConversationCharacteristics" in record and "JobName" not in record:
        return contact_lens.read(record)
    if (field := find_api_answer(record)) is not None:
        raise api_answer_refusal(field)
    if "ContactId" in record and ("InitiationTimestamp" in record or "AWSContactTraceRecordFormatVersion" in record):
        return _contact(record, reading, options)
    raise unsupported_refusal(record)


def _enum(value: str, known: dict[str, Any], more: dict[str, Any], field: str, option: str) -> Any:
    upper = value.upper()
    if value in more:
        return more[value]
    if upper in known:
        return known[upper]
    cure = f"Say what it means in the source's options under `{option}`, then replay."
    raise Refusal(field, f"{field_readers.quote_value(value)} is not a value that is known here.", cure)


# Contact records


def _contact(record: dict[str, Any], reading: ReadContext, options: Options) -> Part:
    contact = read_required_text(record, "ContactId")
    method = read_required_text(record, "InitiationMethod")
    direction = _enum(method, DIRECTIONS, options.initiation_methods, "InitiationMethod", "initiation_methods")
    by_transfer = direction == "transfer" or method.upper() in TRANSFERS
    started = reading.parse_instant(read_required_text(record, "InitiationTimestamp"), "InitiationTimestamp")
    ended = reading.read_instant(record, "DisconnectTimestamp")
    check_order(started, ended, "DisconnectTimestamp", "InitiationTimestamp")
    updated = reading.read_instant(record, "LastUpdateTimestamp")
    agent = read_object(record, "Agent")
    queue = _none_if_empty(read_object(record, "Queue"))
    facts = Contact(
        started=started,
        ended=ended,
        channel=_enum(read_required_text(record, "Channel"), CHANNELS, options.channels, "Channel", "channels"),
        direction=None if by_transfer else direction,
        previous=read_text(record, "PreviousContactId"),
        next=read_text(record, "NextContactId"),
        by_transfer=by_transfer or method.upper() == "EXTERNAL_OUTBOUND",
        following=method.upper() == "CALLBACK",
        outside=method.upper() == "EXTERNAL_OUTBOUND" and not agent,
    )
    if agent:
        _agent(facts, agent, reading)
    if queue:
        _queue(facts, queue, reading)
    if method.upper() == "API" and facts.channel == "chat":
        facts.direction = "inbound"  # the web page starts a customer's chat; a call by API rings the customer
    facts.answered = bool(facts.agents)
    transfer_completed = reading.read_instant(record, "TransferCompletedTimestamp")
    facts.transferred = transfer_completed is not None
    facts.transfers = int(facts.transferred)
    waited = bool(queue) and not facts.agents and not facts.transferred and not record.get("TransferredToEndpoint")
    facts.abandoned = waited and _was_abandoned(record, method.upper(), facts, options)
    if outside := read_object(record, "ExternalThirdParty"):
        facts.outside_ms = read_whole_number(
            outside, "ExternalThirdPartyInteractionDuration", "ExternalThirdParty.", multiplier=1000
        )
    endpoint = read_object(record, "CustomerEndpoint")
    if endpoint and (address := read_text(endpoint, "Address", "CustomerEndpoint.")):
        facts.customer_key = reading.customer_key(address)
    attributes = read_object(record, "Attributes") or {}
    facts.attributes = _attributes_of(attributes, options.keep_attributes)
    if options.reason_attribute:
        facts.attributes.pop(options.reason_attribute, None)
        facts.reason = _attributes_of(attributes, None).get(options.reason_attribute)
    initial = read_text(record, "InitialContactId")
    return Part(
        kind="contact", contact=contact, initial=initial, stamp=updated if updated is not None else ended, facts=facts
    )


def _none_if_empty(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """The object; None if all its values are null."""
    return found if found and any(value is not None for value in found.values()) else None


def _was_abandoned(record: dict[str, Any], method: str, facts: Contact, options: Options) -> bool | None:
    """Whether a contact that was queued and that no agent took was abandoned: the customer ended it while waiting. The
    record's DisconnectReason says who ended it; an older record without one is abandoned by the vendor's own rule. None:
    unknown reason. `canonical.merge` corrects the value when another contact continues this one."""
    if method in NOBODY_WAITS or facts.channel in ("task", "email"):
        return False
    reason = read_text(record, "DisconnectReason")
    if reason is None:
        return True
    if reason in options.disconnect_reasons:
        return options.disconnect_reasons[reason] == "customer"
    customer = REASONS.get(reason.upper())
    return customer and (reason.upper() != "TELECOM_ORIGINATOR_CANCEL" or facts.direction != "outbound")


def _agent(facts: Contact, agent: dict[str, Any], reading: ReadContext) -> None:
    facts.agents = _names(read_text(agent, "Username", "Agent."), read_text(agent, "ARN", "Agent."))
    if not facts.agents:
        raise Refusal("Agent.Username", "The agent has neither Username nor ARN.", _AS_WRITTEN)
    connected = reading.read_instant(agent, "ConnectedToAgentTimestamp", "Agent.")
    check_order(facts.started, connected, "Agent.ConnectedToAgentTimestamp", "InitiationTimestamp")
    check_order(connected, facts.ended, "DisconnectTimestamp", "Agent.ConnectedToAgentTimestamp")
    facts.talk_ms = read_whole_number(agent, "AgentInteractionDuration", "Agent.", multiplier=1000)
    facts.hold_ms = read_whole_number(agent, "CustomerHoldDuration", "Agent.", multiplier=1000)
    longest = read_whole_number(agent, "LongestHoldDuration", "Agent.", multiplier=1000)
    holds = read_whole_number(agent, "NumberOfHolds", "Agent.")
    if facts.hold_ms is None and holds == 0:
        facts.hold_ms = 0
    if longest is not None and facts.hold_ms is not None and longest > facts.hold_ms:
        raise Refusal("Agent.LongestHoldDuration", "It is longer than CustomerHoldDuration.", _AS_WRITTEN)
    facts.acw_ms = read_whole_number(agent, "AfterContactWorkDuration", "Agent.", multiplier=1000)
    acw_start = reading.read_instant(agent, "AfterContactWorkStartTimestamp", "Agent.")
    check_order(connected, acw_start, "Agent.AfterContactWorkStartTimestamp", "Agent.ConnectedToAgentTimestamp")
    facts.left_at = acw_start
    # DisconnectTimestamp is the customer's: the agent may stay with a party who was called in. The agent's part lasts until
    # after-contact work begins. If the record does not have that time, nothing bounds the talk.
    if acw_start is not None and facts.ended is not None:
        begin = connected if connected is not None else facts.started
        available = max(acw_start, facts.ended) - begin
        check_talk_fits(facts.talk_ms, facts.hold_ms, available, "Agent.AgentInteractionDuration")
    acw_end = reading.read_instant(agent, "AfterContactWorkEndTimestamp", "Agent.")
    if acw_start is not None and acw_end is not None:
        check_durations_agree(
            facts.acw_ms, acw_end - acw_start, "Agent.AfterContactWorkDuration", "Agent.AfterContactWorkEndTimestamp"
        )


def _queue(facts: Contact, queue: dict[str, Any], reading: ReadContext) -> None:
    facts.queue = read_text(queue, "Name", "Queue.") or read_text(queue, "ARN", "Queue.")
    if facts.queue is None:
        raise Refusal("Queue.Name", "The queue has neither Name nor ARN.", _AS_WRITTEN)
    facts.queue_ms = read_whole_number(queue, "Duration", "Queue.", multiplier=1000)
    entered = reading.read_instant(queue, "EnqueueTimestamp", "Queue.")
    left = reading.read_instant(queue, "DequeueTimestamp", "Queue.")
    if entered is not None and left is not None:
        check_durations_agree(facts.queue_ms, left - entered, "Queue.Duration", "Queue.DequeueTimestamp")


def _names(username: str | None, arn: str | None) -> list[str]:
    """The names by which the directory may know the agent: user name, agent id, ARN. The first one is shown."""
    return list(dict.fromkeys(name for name in (username, arn and arn.rpartition("/")[2], arn) if name))


def _attributes_of(found: dict[str, Any], keep: list[str] | None) -> dict[str, str]:
    """The contact attributes in the list; without a list, those that do not look like a telephone number or an address."""
    return {
        name[:100]: value[:200]
        for name, value in found.items()
        if isinstance(value, str) and value and (not field_readers.is_personal(value) if keep is None else name in keep)
    }


# Events


def _get_any_case(record: dict[str, Any], name: str) -> JsonValue:
    """The value of a field whose name contact events write in lower or in upper camel case."""
    return record.get(name, record.get(name[0].upper() + name[1:]))


def _contact_event(record: dict[str, Any], reading: ReadContext, options: Options, at: str) -> Part:
    event = read_required_text(record, "eventType", at)
    if event not in EVENTS:
        cure = "Route only the event types that Amazon Connect documents."
        raise Refusal(f"{at}eventType", f"{field_readers.quote_value(event)} is not a value that is known here.", cure)
    channel = read_text(record, "channel", at)
    method = (read_text(record, "initiationMethod", at) or "").upper()
    agent = _get_any_case(record, "agentInfo")
    arn = _get_any_case(agent, "agentArn") if isinstance(agent, dict) else None
    facts = ContactEvent(
        event=event,
        started=reading.read_instant(record, "initiationTimestamp", at),
        ended=reading.read_instant(record, "disconnectTimestamp", at),
        channel=_enum(channel, CHANNELS, options.channels, f"{at}channel", "channels") if channel else None,
        direction=None if method == "API" else DIRECTIONS.get(method),
        agents=_names(None, arn if isinstance(arn, str) else None),
    )
    check_order(facts.started, facts.ended, f"{at}disconnectTimestamp", "initiationTimestamp")
    return Part(
        kind=f"event/{event}",
        contact=read_required_text(record, "contactId", at),
        initial=read_text(record, "initialContactId", at),
        stamp=facts.ended,
        facts=facts,
    )


def _agent_event(record: dict[str, Any], reading: ReadContext) -> StateNotice:
    event = read_required_text(record, "EventType")
    if event not in AGENT_EVENTS:
        raise Refusal(
            "EventType", f"{field_readers.quote_value(event)} is not a value that is known here.", _AS_WRITTEN
        )
    stamp = reading.parse_instant(read_required_text(record, "EventTimestamp"), "EventTimestamp")
    arn = read_required_text(record, "AgentARN")
    points: dict[int, str | None] = {}
    username = None
    # The current snapshot is read last: if both begin at the same instant, the previous state had no duration.
    for name in ("PreviousAgentSnapshot", "CurrentAgentSnapshot"):
        snapshot = read_object(record, name)
        status = read_object(snapshot, "AgentStatus", f"{name}.") if snapshot else None
        if snapshot is None or status is None:
            continue
        username = (
            read_text(read_object(snapshot, "Configuration", f"{name}.") or {}, "Username", f"{name}.Configuration.")
            or username
        )
        start = reading.read_instant(status, "StartTimestamp", f"{name}.AgentStatus.")
        state = read_text(status, "Name", f"{name}.AgentStatus.")
        if start is not None and state:
            check_order(start, stamp, "EventTimestamp", f"{name}.AgentStatus.StartTimestamp")
            points[start] = state
    if event == "LOGOUT":
        points = {at: state for at, state in points.items() if at < stamp} | {stamp: None}
    if not points:
        raise Refusal("CurrentAgentSnapshot.AgentStatus", "It names no state and its start.", _AS_WRITTEN)
    return StateNotice(agents=_names(username, arn), stamp=stamp, points=sorted(points.items()))
