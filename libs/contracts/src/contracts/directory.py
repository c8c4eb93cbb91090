"""Topic `directory`: the whole state of each tenant, org unit and person, compacted by key type/tenant/id.

A state's `version` rises with every change of the thing. Readers keep the highest version, in whatever order the states
arrive. It is 0 in events from before there were versions. The attribute `version` of a tombstone is that of the state
which it erases.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, computed_field

from contracts.envelope import Event

Role = Literal["agent", "team_lead", "trainer", "quality_analyst", "tenant_admin", "platform_admin", "integration"]
PLATFORM_TENANT = "platform"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TENANT = "demo"
_PERSON = "0197c0de-0000-7000-8000-000000000001"
_TEAM = "0197c0de-0000-7000-8000-000000000010"


class _Dated(BaseModel):
    """Holds from day `valid_from` (None: since ever) up to but not including day `valid_until` (None: without end).

    `valid_until` was called `valid_to` at first: both names are written, and either is read.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    valid_from: date | None = None
    valid_until: date | None = Field(default=None, validation_alias=AliasChoices("valid_until", "valid_to"))

    @computed_field
    @property
    def valid_to(self) -> date | None:
        """The first name of `valid_until`."""
        return self.valid_until

    def holds_on(self, day: date) -> bool:
        """Whether it holds on this day."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_until is None or day < self.valid_until
        )


class ExternalId(_Dated):
    """A person's id in one configured source, as the phone system knows it."""

    source: str
    external_id: str


class Membership(_Dated):
    """A person belongs to an org unit."""

    org_unit_id: UUID


class PersonAttribute(_Dated):
    """A property of a person, such as skill=billing, employment=full_time, hire_date=2026-01-05."""

    name: str
    value: str


class RoleGrant(_Dated):
    """A role over an org unit and everything below it; without an org unit, over the whole tenant."""

    role: Role
    org_unit_id: UUID | None = None


class Login(BaseModel):
    """An account of an identity provider that belongs to a person: issuer and subject of its tokens."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    iss: str
    sub: str


class _DirectoryEvent(Event):
    topic: ClassVar[str] = "directory"

    def id_in_key(self) -> str:
        """What identifies the thing among those of its type and tenant; the last part of the key."""
        raise NotImplementedError

    def state_version(self) -> int:
        """The version of this state: a reader keeps the state with the highest one."""
        raise NotImplementedError

    def key(self, tenant: str) -> str:
        """`<noun of the type>/<tenant>/<id>`: compaction keeps the newest state of each thing."""
        return f"{self.type.partition('.')[0]}/{tenant}/{self.id_in_key()}"


class TenantChanged(_DirectoryEvent):
    """The whole state of a tenant. A simulated tenant has a clock of its own; for every other tenant `clock` is None and the
    time is the wall clock's."""

    type: ClassVar[str] = "tenant.changed"
    example: ClassVar[dict[str, Any]] = {
        "slug": _TENANT, "name": "Demo", "time_zone": "Europe/Berlin", "day_start_minutes": 0,
        "default_language": "en", "active": True, "simulated": True, "clock": "2026-03-02T08:00:00Z", "version": 1,
    }  # fmt: skip

    slug: str
    name: str
    time_zone: str = "UTC"
    day_start_minutes: int = 0
    default_language: str = "en"
    active: bool = True
    simulated: bool = False
    clock: datetime | None = None
    version: int = 0

    def id_in_key(self) -> str:
        """The tenant's slug."""
        return self.slug

    def state_version(self) -> int:
        """The field `version`."""
        return self.version


class OrgUnitChanged(_DirectoryEvent):
    """The whole state of an org unit. `path` holds the ids from the root down to the unit itself, which is the last one."""

    type: ClassVar[str] = "org_unit.changed"
    example: ClassVar[dict[str, Any]] = {
        "id": _TEAM, "slug": "team-a", "name": "Team A", "kind": "team", "parent_id": None, "path": [_TEAM],
        "time_zone": None, "active": True, "version": 1,
    }  # fmt: skip

    id: UUID
    slug: str
    name: str
    kind: str = "team"
    parent_id: UUID | None = None
    path: list[UUID]
    time_zone: str | None = None
    active: bool = True
    version: int = 0

    def id_in_key(self) -> str:
        """The thing's id."""
        return str(self.id)

    def state_version(self) -> int:
        """The field `version`."""
        return self.version


class PersonChanged(_DirectoryEvent):
    """The whole state of a person or a machine client, with past, present and planned memberships, roles and ids."""

    type: ClassVar[str] = "person.changed"
    example: ClassVar[dict[str, Any]] = {
        "id": _PERSON, "slug": "ada", "kind": "person", "display_name": "Ada Abel", "email": "ada@example.org",
        "language": "en", "active": True, "logins": [{"iss": "http://127.0.0.1:8080/oidc", "sub": "ada"}],
        "external_ids": [{"source": "amazon-connect", "external_id": "agent-ada", "valid_from": None, "valid_until": None}],
        "memberships": [{"org_unit_id": _TEAM, "valid_from": "2026-01-05", "valid_until": None}],
        "attributes": [{"name": "hire_date", "value": "2026-01-05", "valid_from": None, "valid_until": None}],
        "roles": [{"role": "agent", "org_unit_id": _TEAM, "valid_from": None, "valid_until": None}], "version": 1,
    }  # fmt: skip

    id: UUID
    slug: str
    kind: Literal["person", "machine"] = "person"
    display_name: str
    email: str | None = None
    language: str | None = None
    active: bool = True
    logins: list[Login] = []
    external_ids: list[ExternalId] = []
    memberships: list[Membership] = []
    attributes: list[PersonAttribute] = []
    roles: list[RoleGrant] = []
    version: int = 0

    def id_in_key(self) -> str:
        """The thing's id."""
        return str(self.id)

    def state_version(self) -> int:
        """The field `version`."""
        return self.version


class SessionEnded(_DirectoryEvent):
    """A login session ended while some of its tokens are still valid: from now on services refuse these tokens. The event
    belongs to tenant `platform`, since a session may have tokens of several tenants.

    Without `sid`, every session of `sub` that began before `ended_at` ended. At `until` the last of the tokens has expired,
    and a tombstone removes the event.
    """

    type: ClassVar[str] = "session.ended"
    example: ClassVar[dict[str, Any]] = {
        "iss": "http://127.0.0.1:8080/oidc", "sid": "5b0c3a52-7d0a-4f6c-8f55-1f6a4f0f2d11", "sub": "ada",
        "ended_at": "2026-03-02T08:00:00Z", "until": "2026-03-03T08:00:00Z",
    }  # fmt: skip

    iss: str
    sid: str | None = None
    sub: str | None = None
    ended_at: datetime
    until: datetime

    def id_in_key(self) -> str:
        """The session's id, or else the account's."""
        return f"sid:{self.sid}" if self.sid else f"sub:{self.sub}"

    def state_version(self) -> int:
        """Microseconds from 1970 to `ended_at`: an event with a later end covers more sessions."""
        return (self.ended_at - _EPOCH) // timedelta(microseconds=1)
