"""Access checks of the HTTP door, and what its routes share. A caller works in the own tenant, a platform_admin in any."""

from dataclasses import dataclass
from typing import Annotated

from contracts.directory import PLATFORM_TENANT
from fastapi import Path, Query, Request
from servicekit import Caller, PageQuery, get_context
from servicekit.errors import Conflict, FieldProblem, Forbidden, Invalid, NotFound, TooLarge
from servicekit.outbound import UrlPolicy
from servicekit.visibility import sees_everyone
from storage import Session

from identity.clients.provider import Provider
from identity.clients.sections import SectionCheckClient
from identity.model.fields import TENANT_SLUG
from identity.store import directory as store

ADMINS = ("tenant_admin", "platform_admin")
BLUEPRINT_BYTES = 2_000_000
UPLOAD_BYTES = 20_000_000

TenantQuery = Annotated[
    str | None, Query(pattern=TENANT_SLUG, description="Another tenant than one's own: platform_admin only.")
]
TenantPath = Annotated[str, Path(pattern=TENANT_SLUG)]


@dataclass
class State:
    """What the door needs of the settings. `upload_bytes`: the largest accepted file; `provider` None: accounts and applications
    are managed elsewhere; `portal_client_id`: the audience of logout tokens; `policy`: where addresses given by tenants may
    lead; `sections` None: identity has no address of the other services."""

    upload_bytes: int
    provider: Provider | None
    portal_client_id: str
    policy: UrlPolicy
    sections: SectionCheckClient | None = None


def get_state(request: Request) -> State:
    """The service's state of this app."""
    return request.app.state.service


def require_provider(request: Request) -> Provider:
    """The login provider. Raises Conflict when none is configured."""
    provider = get_state(request).provider
    if provider is None:
        raise Conflict(
            "needs-keycloak",
            "Accounts and applications are kept at the login provider, and identity was told of none: set "
            "IDENTITY_KEYCLOAK_URL.",
        )
    return provider


def is_platform_admin(caller: Caller) -> bool:
    """Whether the caller has the role platform_admin in the platform tenant."""
    return caller.tenant == PLATFORM_TENANT and caller.has_role_everywhere("platform_admin")


async def enter_tenant(session: Session, caller: Caller, tenant: str | None, *roles: str) -> None:
    """Narrows the session to `tenant` (None: the caller's own) and sets its now. Raises Forbidden unless the caller is a
    platform_admin, or belongs to the tenant and has one of `roles` over all of it (no roles: everybody may), and NotFound when
    a platform_admin names an unknown tenant."""
    if is_platform_admin(caller):
        if tenant is not None and tenant != caller.tenant:
            await session.set_tenants([tenant])
            found = await store.load_tenant(session)
            if found is None:
                raise NotFound("unknown-tenant", f"There is no tenant `{tenant}`.")
            session.now = found.clock or session.now
    elif tenant is not None and tenant != caller.tenant:
        raise Forbidden("other-tenant", "Only a platform_admin may work in another tenant.")
    elif roles:
        caller.require_role(*(("platform_admin",) if caller.tenant == PLATFORM_TENANT else roles), whole_tenant=True)


def require_platform_admin(caller: Caller) -> None:
    """Raises Forbidden unless the caller is a platform_admin."""
    if not is_platform_admin(caller):
        raise Forbidden("role-needed", "This needs the role platform_admin.")


def sees_whole_tenant(caller: Caller) -> bool:
    """Whether the caller may see everybody in the session's tenant."""
    return is_platform_admin(caller) or sees_everyone(caller)


def get_issuer(request: Request) -> str:
    """The `iss` of logins that name none."""
    return get_context(request).settings.login_issuer


def decode_text_cursor(page: PageQuery) -> str:
    """The text in a list's cursor; empty on the first page. Raises Invalid for anything else."""
    if page.after is None:
        return ""
    if len(page.after) != 1 or not isinstance(page.after[0], str) or "\x00" in page.after[0]:
        problem = FieldProblem(pointer="/after", problem="not a cursor", cure="pass the `next` of the page before")
        raise Invalid("bad-cursor", "`after` is not a cursor of this list.", errors=[problem])
    return page.after[0]


async def read_upload(request: Request) -> bytes:
    """The request's body, or the first file of a form. Raises TooLarge before more than `State.upload_bytes` are in memory, and
    Invalid for a form without a file."""
    max_bytes = get_state(request).upload_bytes
    too_large = TooLarge("too-large", f"At most {max_bytes:,} bytes are taken at once. Split the file.")
    announced = request.headers.get("content-length") or "0"
    if announced.isascii() and announced.isdigit() and (len(announced) > 15 or int(announced) > max_bytes + 100_000):
        raise too_large
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1) as form:
            upload = next((each for each in form.values() if not isinstance(each, str)), None)
            if upload is None:
                raise Invalid("no-file", "The form holds no file.")
            data = await upload.read(max_bytes + 1)
    else:
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise too_large
            chunks.append(chunk)
        data = b"".join(chunks)
    if len(data) > max_bytes:
        raise too_large
    return data
