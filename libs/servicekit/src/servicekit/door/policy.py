"""What a route takes in: how many bytes, from whom, and whether it may be sent again with the same key."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fastapi.dependencies.models import Dependant

from servicekit.caller import Caller

DEFAULT_BODY_BYTES = 256_000
"""What a route takes that does not say otherwise."""
DEFINITION_BYTES = 1_000_000
"""For what people write as a whole: forms, templates, KPI models, rules, texts."""

Reach = Literal["tenant", "people", "own"]
"""What of a tenant a route opens to those who may call it: what the tenant has as a whole; of each person what is theirs,
to themselves and to those who see them (`visibility`); to everybody only their own."""

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class RoutePolicy:
    """`body_bytes` None: the handler reads its body as a stream, before it opens a session, and bounds it itself.
    `roles`: who has none of them is refused before the body is read; none: whoever belongs to the tenant may call.
    `dry_run_roles`: with these one may try it only, which the handler sees to. `whole_tenant`: a role over an org unit is not
    enough; so it is with everything of the tenant as a whole, unless a route says otherwise. `idempotency_key` False: an answer is not kept, since it tells a
    secret or since asking again changes nothing.

    Of what has an ETag: `thing` is the path of what the route changes, where that is not its own; `changing`: fields of
    what it answers that nobody edits and that change by themselves; `alone`: changes wait for those of this thing only,
    where no other route, blueprint or clock changes it too. `signed_in`: the handler looks at the token itself."""

    body_bytes: int | None = DEFAULT_BODY_BYTES
    roles: tuple[str, ...] = ()
    dry_run_roles: tuple[str, ...] = ()
    whole_tenant: bool = False
    reach: Reach = "tenant"
    idempotency_key: bool = True
    resource_path: str | None = None
    volatile_fields: tuple[str, ...] = ()
    lock_resource_only: bool = False
    verifies_token_itself: bool = False

    def require_role(self, caller: Caller) -> None:
        """Raises Forbidden unless the caller has a role that opens the route."""
        if self.roles:
            caller.require_role(*self.roles, *self.dry_run_roles, whole_tenant=self.whole_tenant)

    def openapi_extensions(self) -> dict[str, Any]:
        """For the OpenAPI document: `x-roles` (none: every role), `x-roles-dry-run`, `x-roles-over`,
        `x-reach`."""
        roles = {"x-roles": list(self.roles), "x-roles-over": "tenant" if self.whole_tenant else "any"}
        trying = {"x-roles-dry-run": list(self.dry_run_roles)} if self.dry_run_roles else {}
        return {**(roles if self.roles else {}), **trying, "x-reach": self.reach}


def route_policy(
    body_bytes: int | None = DEFAULT_BODY_BYTES,
    *,
    roles: tuple[str, ...] = (),
    dry_run_roles: tuple[str, ...] = (),
    whole_tenant: bool | None = None,
    reach: Reach | None = None,
    idempotency_key: bool = True,
    resource_path: str | None = None,
    volatile_fields: tuple[str, ...] = (),
    lock_resource_only: bool = False,
    verifies_token_itself: bool = False,
) -> Callable[[Endpoint], Endpoint]:
    """Says of a handler what `Accepted` tells; stands below the route's decorator. Either roles or a reach must be said, so
    that nothing is open to everybody because somebody forgot."""
    if not roles and reach is None:
        raise TypeError("Say who may call it: `roles`, or for everybody of the tenant `reach`.")
    reach = reach or "tenant"
    if whole_tenant is None:
        whole_tenant = bool(roles) and reach == "tenant"

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__["accepted"] = RoutePolicy(
            body_bytes=body_bytes,
            roles=roles,
            dry_run_roles=dry_run_roles,
            whole_tenant=whole_tenant,
            reach=reach,
            idempotency_key=idempotency_key,
            resource_path=resource_path,
            volatile_fields=volatile_fields,
            lock_resource_only=lock_resource_only,
            verifies_token_itself=verifies_token_itself,
        )
        return endpoint

    return mark


def get_route_policy(endpoint: Callable[..., Any]) -> RoutePolicy | None:
    """None: it says nothing."""
    return getattr(endpoint, "accepted", None)


def walk_dependants(dependant: Dependant) -> Iterator[Dependant]:
    """The handler, and all that it depends on."""
    yield dependant
    for each in dependant.dependencies:
        yield from walk_dependants(each)


def depends_on(dependant: Dependant, call: Callable[..., Any]) -> bool:
    return any(each.call is call for each in walk_dependants(dependant))


def header_names(dependant: Dependant) -> frozenset[str]:
    """Lower case: those that the handler reads itself."""
    return frozenset(field.alias.lower() for each in walk_dependants(dependant) for field in each.header_params)
