"""The policy of a route: body size, roles, reach, idempotency keys and ETags."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fastapi.dependencies.models import Dependant

from servicekit.caller import Caller

DEFAULT_BODY_BYTES = 256_000
"""The default limit of a body."""
DEFINITION_BYTES = 1_000_000
"""The limit for definitions that people write: forms, templates, KPI models, rules, texts."""

Reach = Literal["tenant", "people", "own"]
"""Which of a tenant's data a route gives to those who may call it. `tenant`: data of the tenant as a whole. `people`: data of
each person who is visible to the caller (visibility.py). `own`: only the caller's own data."""

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
_ATTRIBUTE = "route_policy"


@dataclass(frozen=True)
class RoutePolicy:
    """The policy of a route.

    - `body_bytes`: the limit of the body. None: the handler reads the body as a stream, before it opens a session, and
      limits it itself.
    - `roles`: callers with none of these are refused before the body is read. Empty: everybody of the tenant may call.
    - `dry_run_roles`: callers with these may only do a dry run; the handler enforces that.
    - `whole_tenant`: a role over an org unit is not enough.
    - `idempotency_key` False: responses are not stored, because they hold a secret or because a repeat changes nothing.
    - `resource_path`: the path of the resource that the route changes, if it is not the route's own path.
    - `volatile_fields`: fields of the resource that change by themselves; the ETag's first part leaves them out.
    - `lock_resource_only`: an edit locks this resource only. For resources that no other route, blueprint or due item
      changes.
    - `verifies_token_itself`: the handler verifies the access token."""

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
        """The route's extensions in the OpenAPI document: `x-roles` (missing: every role), `x-roles-over`,
        `x-roles-dry-run`, `x-reach`."""
        roles = {"x-roles": list(self.roles), "x-roles-over": "tenant" if self.whole_tenant else "any"}
        dry_run = {"x-roles-dry-run": list(self.dry_run_roles)} if self.dry_run_roles else {}
        return {**(roles if self.roles else {}), **dry_run, "x-reach": self.reach}


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
    """Decorates a handler, below the route's decorator, with its `RoutePolicy`. `whole_tenant` None: True for routes with
    roles and the reach `tenant`. Raises TypeError without both `roles` and `reach`, so that no route is open to everybody
    by mistake."""
    if not roles and reach is None:
        raise TypeError("Say who may call it: `roles`, or for everybody of the tenant `reach`.")
    reach = reach or "tenant"
    if whole_tenant is None:
        whole_tenant = bool(roles) and reach == "tenant"

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__dict__[_ATTRIBUTE] = RoutePolicy(
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
    """The policy of a handler; None when it is not decorated."""
    return getattr(endpoint, _ATTRIBUTE, None)


def walk_dependants(dependant: Dependant) -> Iterator[Dependant]:
    """Yields a handler and all its dependencies."""
    yield dependant
    for each in dependant.dependencies:
        yield from walk_dependants(each)


def depends_on(dependant: Dependant, call: Callable[..., Any]) -> bool:
    """Whether a handler depends on `call`, directly or not."""
    return any(each.call is call for each in walk_dependants(dependant))


def header_names(dependant: Dependant) -> frozenset[str]:
    """The headers that a handler declares as parameters, in lower case."""
    return frozenset(field.alias.lower() for each in walk_dependants(dependant) for field in each.header_params)
