"""What a vendor's record says, read and checked, before the parts of an interaction are merged.

Instants are integers, milliseconds since 1970 UTC; durations are milliseconds; unknown is None, never 0. Customer
numbers are keyed hashes here already.
"""

from msgspec import Struct

from ingest.model.leg_fields import LegFields, SpeechFields


class Contact(LegFields, omit_defaults=True, kw_only=True):
    """A contact record: one agent's part of an interaction. `agents` are all the names the vendor gives the agent, the
    one to show first. `direction` None means that of the interaction's first contact.

    `by_transfer`: the contact was made by an attempt to hand the customer on from `previous`, or to bring somebody in;
    `following`: it is another way in which `previous` went on, such as the callback that the customer asked for.
    `left_at`: when this part was over for whoever took it (else `ended`, when it was over for the customer).
    `outside_ms`: how long a party outside of the centre was in the talk. `unsure` is the column whose time may be either
    of two, which nothing else in the record decides.
    """

    previous: str | None = None
    next: str | None = None
    by_transfer: bool = False
    following: bool = False
    left_at: int | None = None
    outside: bool = False
    outside_ms: int | None = None
    unsure: str | None = None
    agents: list[str] = []


class Analysis(SpeechFields, omit_defaults=True, kw_only=True):
    """What speech analysis found in the conversation of one contact."""


class ContactEvent(Struct, omit_defaults=True, kw_only=True):
    """A contact event: that something happened. It opens an interaction; its figures are the contact record's."""

    event: str
    started: int | None = None
    ended: int | None = None
    channel: str | None = None
    direction: str | None = None
    agents: list[str] = []


class Part(Struct, kw_only=True):
    """`kind` is `contact`, `analysis` or `event/<TYPE>`; `stamp` orders parts of one kind of one contact only.
    `initial` is the first contact of the interaction where the record names it."""

    kind: str
    contact: str
    facts: Contact | Analysis | ContactEvent
    initial: str | None = None
    stamp: int | None = None


class StateNotice(Struct, kw_only=True):
    """From an agent event: from `points[i][0]` on the agent was in state `points[i][1]` (None: logged out)."""

    agents: list[str]
    stamp: int
    points: list[tuple[int, str | None]]
