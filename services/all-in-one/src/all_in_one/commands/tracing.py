"""Collects what every service knows of one contact, over the HTTP API, and formats it as lines."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

import httpx
from contracts import ALL_SERVICES
from contracts.windows import window_days

from all_in_one.commands.client import parse_body, segment

_PAGE_SIZE = 1000
_MAX_PAGES = 20
_MAX_DETAILS = 50

Item = dict[str, Any]


def trace_contact(client: httpx.Client, identifier: str) -> Item | None:
    """All that the API says of a contact. `identifier`: a vendor's contact id, an interaction's id, or a leg as
    `<interaction id>/<leg number>`. None when no service knows it.

    Chains are followed by the ids that effects name: KPI and workday, `band_event_id`, assignment id. The API does not
    return correlation ids. What the user's roles do not open is missing; `notes` says so. Receipts do not store the contact
    of a rejected record, so one that was only ever rejected is unknown here. Exits with status 1 when the
    API refuses anything else.
    """
    reader = _Reader(client)
    identifier, leg = _split_leg(identifier)
    traced = [_trace_interaction(reader, each, leg) for each in reader.find_interactions(identifier)]
    ids = {identifier} | {str(each[name]) for each in traced for name in ("id", "external_id")}
    ids |= {part["contact"] for each in traced for part in each["parts"]}
    found = {
        "identifier": identifier,
        "interactions": traced,
        "behind": {name: behind for name in ALL_SERVICES if (behind := reader.get(f"{name}/v1/behind"))},
        "dead_letters": reader.find_dead_letters(ids),
        "notes": reader.notes,
    }
    return found if traced or found["dead_letters"] else None


def _split_leg(identifier: str) -> tuple[str, int | None]:
    head, _, leg = identifier.rpartition("/")
    return (head, int(leg)) if _is_uuid(head) and leg.isdecimal() else (identifier, None)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


class _Reader:
    """GET requests to the API. 403 and 404 are answers too: nothing, with a note for a 403."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.notes: list[str] = []

    def get(self, path: str, **parameters: Any) -> Item | None:
        """The JSON object at a path below /api/; None when it does not exist or the user may not read it."""
        answer = self._client.get(f"/api/{path}", params=parameters)
        if answer.status_code == httpx.codes.FORBIDDEN:
            self.add_note(f"not shown, since this user may not read it: {path.partition('?')[0]}")
        if answer.status_code in (httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND):
            return None
        found: Item = parse_body(answer)
        return found

    def pages(self, path: str, **parameters: Any) -> Iterator[Item]:
        """The items of a list, up to `_MAX_PAGES` pages; a note says when there are more."""
        after: str | None = None
        for _ in range(_MAX_PAGES):
            page = self.get(path, limit=_PAGE_SIZE, **parameters, **({"after": after} if after else {}))
            if page is None:
                return
            yield from page["items"]
            after = page["next"]
            if after is None:
                return
        self.add_note(f"only the first {_MAX_PAGES * _PAGE_SIZE:,} were searched: {path}")

    def find_interactions(self, identifier: str) -> list[Item]:
        """Interactions in full, by a vendor's contact id or by their own id."""
        ids = [each["id"] for each in self.pages("ingest/v1/interactions", external_id=identifier)]
        if not ids and _is_uuid(identifier):
            ids = [identifier]
        found = (self.get(f"ingest/v1/interactions/{id}") for id in ids)
        return [each for each in found if each is not None]

    def find_dead_letters(self, ids: set[str]) -> list[Item]:
        """Dead letters of all services, not yet replayed, whose key or value contains one of the ids."""
        return [
            {"service": name, **{key: letter[key] for key in ("id", "topic", "key", "error", "buried_at")}}
            for name in ALL_SERVICES
            for letter in self.pages(f"{name}/v1/dead-letters")
            if any(id in letter["key"] or id in (letter["value"] or "") for id in ids)
        ]

    def add_note(self, text: str) -> None:
        """Adds a note on what is missing, once."""
        if text not in self.notes:
            self.notes.append(text)


def _trace_interaction(reader: _Reader, interaction: Item, leg: int | None) -> Item:
    """The interaction with its receipts, and for each current leg with an agent what it led to. `leg`: only that one."""
    legs = [each for each in interaction["legs"] if leg in (None, each["leg"])]
    contacts = {interaction["external_id"], *(part["contact"] for part in interaction["parts"])}
    receipts = dict.fromkeys(each["receipt"] for each in (*interaction["parts"], *interaction["versions"]))
    return {
        **{name: interaction[name] for name in ("id", "source", "external_id", "partial", "held")},
        "parts": [
            {name: part[name] for name in ("contact", "kind", "stamped_at", "receipt")} for part in interaction["parts"]
        ],
        "receipts": [_trace_receipt(reader, receipt, contacts) for receipt in receipts if receipt],
        "legs": legs,
        "versions": [each for each in interaction["versions"] if leg in (None, each["content"]["leg"])],
        "effects": [_trace_effects(reader, each) for each in legs if each["agent_id"]],
    }


def _trace_receipt(reader: _Reader, receipt: str, contacts: set[str]) -> Item:
    """The receipt and its verdicts on records of these contacts."""
    head = reader.get(f"ingest/v1/receipts/{receipt}") or {"status": None, "mode": None, "received_at": None}
    records = reader.pages(f"ingest/v1/receipts/{receipt}/records")
    return {
        "id": receipt,
        **{name: head[name] for name in ("status", "mode", "received_at")},
        "records": [each for each in records if each["contact"] in contacts],
    }


def _trace_effects(reader: _Reader, leg: Item) -> Item:
    """What a leg contributed to its agent's values of its workday, and the bands, assignments and points that name this
    day, or follow from those that do."""
    agent, day = leg["agent_id"], leg["workday"]
    values = [
        value
        for each in reader.pages("kpi-engine/v1/kpis")
        if (value := _explain_leg(reader, each["kpi"], leg, agent, day)) is not None
    ]
    kpis = {each["kpi"] for each in values}
    bands = [
        each
        for each in reader.pages("kpi-engine/v1/bands", agent=agent)
        if each["kpi"] in kpis and _covers(each["evidence"], day)
    ]
    band_events = {each["band_event_id"] for each in bands}
    assignments = _trace_assignments(reader, agent, day, band_events, kpis)
    causes = {f"{kpi} {day}" for kpi in kpis} | band_events
    causes |= {each["id"] for each in assignments} | {each["band_event_id"] for each in assignments}
    points = [each for each in reader.pages("gamification/v1/ledger", agent=agent) if each["cause"] in causes]
    return {
        "leg": leg["leg"],
        "agent_id": agent,
        "workday": day,
        "values": values,
        "bands": bands,
        "assignments": assignments,
        "points": points,
    }


def _explain_leg(reader: _Reader, kpi: str, leg: Item, agent: str, day: str) -> Item | None:
    """The agent's value of the day and the leg's contribution; None for a KPI that does not read legs."""
    parameters: dict[str, Any] = {"agent": agent, "from": day, "to": day, "limit": _PAGE_SIZE}
    found = reader.get(f"kpi-engine/v1/kpis/{segment(kpi, 'the KPI')}/explain", **parameters)
    facts = found["items"] if found else ()
    fact = next((each for each in facts if (each["id"], each["leg"]) == (leg["interaction_id"], leg["leg"])), None)
    if found is None or fact is None:
        return None
    return {
        "kpi": kpi,
        "agent": found["agent"],
        "unit": found["unit"],
        **found["answer"],
        **{name: fact[name] for name in ("version", "counts", "why_not", "contribution")},
    }


def _covers(evidence: list[Item], day: str) -> bool:
    """Whether one of the judged windows contains the day."""
    spans = (window_days(each["window"]) for each in evidence)
    return any(span and span[0] <= date.fromisoformat(day) <= span[1] for span in spans)


def _trace_assignments(reader: _Reader, agent: str, day: str, band_events: set[str], kpis: set[str]) -> list[Item]:
    """The agent's assignments that came of these band events, whose evidence contains the day, or that follow such one."""
    rows = [
        each
        for each in reader.pages("training/v1/assignments", agent=agent)
        if each["assigned_at"][:10] >= day and (each["kpi"] in kpis or each["follows"])
    ]
    if len(rows) > _MAX_DETAILS:
        reader.add_note(f"only the first {_MAX_DETAILS} assignments since {day} were examined")
    found: list[Item] = []
    for each in sorted(rows, key=lambda row: str(row["assigned_at"]))[:_MAX_DETAILS]:
        follows = each["follows"] in {earlier["id"] for earlier in found}
        if each["band_event_id"] in band_events or follows or _has_evidence_of(reader, each, day):
            found.append(each)
    return found


def _has_evidence_of(reader: _Reader, assignment: Item, day: str) -> bool:
    detail = reader.get(f"training/v1/assignments/{assignment['id']}") or {}
    return _covers((detail.get("evidence") or {}).get("windows", []), day)


def format_trace(found: Item) -> list[str]:
    """The trace as lines of text, in the order in which a contact passes the services."""
    lines: list[str] = []
    for each in found["interactions"]:
        lines += _format_interaction(each)
    waiting = {name: each for name, each in found["behind"].items() if each["events"]}
    lines += [f"{name} is behind: {each['events']:,} events, {each['seconds']:.0f} s" for name, each in waiting.items()]
    if not waiting:
        lines.append("no service is behind: the numbers are up to date")
    for letter in found["dead_letters"]:
        lines.append(f"dead letter of {letter['service']}, {letter['buried_at']}: {letter['error']}")
        lines.append(f"  replay: uplift dead-letters replay {letter['service']} {letter['id']}")
    if not found["dead_letters"]:
        lines.append("no dead letter names it")
    return [*lines, *(f"note: {each}" for each in found["notes"])]


def _format_interaction(interaction: Item) -> Iterator[str]:
    hidden = ", partly hidden from this user" if interaction["partial"] else ""
    yield f"interaction {interaction['id']}: {interaction['external_id']} of {interaction['source']}{hidden}"
    for receipt in interaction["receipts"]:
        yield f"  receipt {receipt['id']}: {receipt['status']}, {receipt['mode']}, {receipt['received_at']}"
        yield from (f"  {_format_record(record)}" for record in receipt["records"])
    for held in interaction["held"]:
        yield f"  held: {held['contact']}: {held['reason']}, waits for {', '.join(held['waits_for']) or 'nothing named'}"
    for version in sorted(
        interaction["versions"], key=lambda each: (each["content"]["leg"], each["content"]["version"])
    ):
        yield f"  {_format_version(version)}"
    for effects in interaction["effects"]:
        yield from (f"  {line}" for line in _format_effects(effects))


def _format_record(record: Item) -> str:
    why = ": ".join(record[name] for name in ("field", "reason") if record[name])
    return f"  line {record['line']}, {record['kind']} of {record['contact']}: {record['verdict']}{f': {why}' if why else ''}"


def _format_version(version: Item) -> str:
    leg = version["content"]
    agent = leg["agent_external_id"] or "no agent"
    state = "void" if leg["void"] else f"{agent}, workday {leg['workday']}, handle_ms {_text(leg['handle_ms'])}"
    held = f", held: {leg['held']}" if leg["held"] else ""
    return f"leg {leg['leg']} version {leg['version']}, known at {version['known_at']}: {state}{held}"


def _format_effects(effects: Item) -> Iterator[str]:
    yield f"leg {effects['leg']} in the values of {effects['workday']}:"
    for each in effects["values"]:
        parts = ", ".join(f"{name} {_text(amount)}" for name, amount in each["contribution"].items())
        what = f"contributes {parts}" if each["counts"] else f"does not count: {'; '.join(each['why_not'])}"
        unknown = f" ({each['reason']})" if each["reason"] else ""
        yield f"  {each['kpi']} of {each['agent']}: {_text(each['value'])}{unknown}, sample {each['sample']}"
        yield f"    version {each['version']} {what}"
    if not effects["values"]:
        yield "  no KPI has read it"
    for each in effects["bands"]:
        yield f"  band {each['band']} of {each['kpi']}, entered at {each['at_window']}: {each['band_event_id']}"
    for each in effects["assignments"]:
        yield f"  assignment {each['template']}, {each['status']}, {each['assigned_at']}: {each['id']}"
    for each in effects["points"]:
        yield f"  {each['points']:+} points by {each['rule']}, {each['at']}, for {each['cause']}"


def _text(value: Any) -> str:
    return "unknown" if value is None else value if isinstance(value, str) else json.dumps(value)
