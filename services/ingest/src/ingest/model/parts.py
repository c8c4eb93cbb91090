"""Parts: records as they were read and checked, before the parts of an interaction are merged.

Instants are integers, milliseconds since 1970 UTC; durations are milliseconds; unknown is None, never 0. Customers' numbers
are keyed hashes.
"""

from msgspec import Struct

from ingest.model.leg_fields import LegFields, SpeechFields


class Contact(LegFields, omit_defaults=True, kw_only=True):
    """A contact record: one agent's part of an interaction. `agents`: all names that the vendor gives the agent; the first
    is the one to show. `direction` None: that of the interaction's first contact.

    `by_transfer`: an attempt to transfer the customer from `previous`, or to call somebody in, began the contact.
    `following`: it continues `previous` in another way, such as a callback that the customer requested. `left_at`: when the
    agent's part ended; None: at `ended`, when the customer's did. `outside`: it is with a party outside of the call centre;
    `outside_ms`: how long such a party was in the talk. `unsure`: the column whose time is one of two instants, which
    nothing else in the record decides.
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
    """The result of speech analysis of a contact's conversation."""


class ContactEvent(Struct, omit_defaults=True, kw_only=True):
    """A contact event. It opens an interaction; figures come from the contact record only."""

    event: str
    started: int | None = None
    ended: int | None = None
    channel: str | None = None
    direction: str | None = None
    agents: list[str] = []


class Part(Struct, kw_only=True):
    """A part of an interaction. `kind`: `contact`, `analysis` or `event/<TYPE>`. `stamp`: orders the parts of one kind of one
    contact. `initial`: the first contact of the interaction, if the record names it."""

    kind: str
    contact: str
    facts: Contact | Analysis | ContactEvent
    initial: str | None = None
    stamp: int | None = None


class StateNotice(Struct, kw_only=True):
    """An agent event: from `points[i][0]` on, the agent was in state `points[i][1]` (None: logged out). `stamp`: time of the
    event."""

    agents: list[str]
    stamp: int
    points: list[tuple[int, str | None]]
