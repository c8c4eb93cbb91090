"""Administration of accounts and clients over HTTP, for accounts with the admin flag and for identity; and userinfo."""

from typing import Annotated

from contracts.ids import new_id
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Row

from dev_idp import model, passwords, store
from dev_idp.logout import notify_clients
from dev_idp.provider import Provider, profile_claims

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Password = Annotated[str, Field(min_length=model.MIN_PASSWORD, max_length=model.MAX_PASSWORD)]
Tenant = Annotated[str, Field(pattern=model.TENANT)]
Uri = Annotated[str, Field(pattern=r"^https?://[^\s#\x00]+$")]
Username = Annotated[str, Path(pattern=model.USERNAME)]
ClientPath = Annotated[str, Path(pattern=model.CLIENT_ID)]
TenantPath = Annotated[str, Path(pattern=model.TENANT)]


class NewAccount(BaseModel):
    """A new account. Without a password the response holds a one-time token. `sub` is the subject of its tokens, by which the
    directory knows the login; by default a new id."""

    username: Annotated[str, Field(pattern=model.USERNAME)]
    tenant: Tenant
    password: Password | None = None
    display_name: Line | None = None
    sub: Line | None = None
    admin: bool = False


class AccountOut(BaseModel):
    """An account as administrators see it."""

    sub: str
    username: str
    tenant: str
    display_name: str
    active: bool
    admin: bool


class AccountCreated(AccountOut):
    """The new account. `one_time_token` is null when a password was sent. It cannot be read again."""

    one_time_token: str | None = None


class AccountSpec(BaseModel):
    """What an account of the tenant is to be. Without a `temporary_password` the password stays."""

    tenant: Tenant
    display_name: Line
    email: Line | None = None
    temporary_password: Password | None = None


class Switch(BaseModel):
    """Switches an account on or off; with a tenant, only an account of that tenant."""

    active: bool
    tenant: Tenant | None = None


class NewClient(BaseModel):
    """A new client. A public one has no secret and must use PKCE."""

    client_id: Annotated[str, Field(pattern=model.CLIENT_ID)]
    public: bool = False
    redirect_uris: list[Uri] = []
    tenant: Tenant | None = None
    grants: Annotated[list[str], Field(min_length=1)]
    backchannel_logout_uri: Uri | None = None


class ClientSpec(BaseModel):
    """What a client of the tenant is to be. Without a `secret` its secret stays."""

    tenant: Tenant
    public: bool = False
    secret: Annotated[str, Field(min_length=16, max_length=200)] | None = None
    grants: Annotated[list[str], Field(min_length=1)]
    redirect_uris: list[Uri] = []
    post_logout_redirect_uris: list[Uri] = []
    backchannel_logout_uri: Uri | None = None


class ClientOut(BaseModel):
    """A client. `sub` is the subject of the tokens that it gets for itself."""

    client_id: str
    sub: str


class ClientCreated(BaseModel):
    """The new client. `client_secret` cannot be read again: the provider stores only its hash."""

    client_id: str
    client_secret: str | None


def admin_endpoints(provider: Provider) -> APIRouter:  # noqa: C901, PLR0915  a router: many small handlers
    """The router for accounts, clients and userinfo. Administration needs an account with the admin flag, or identity's client."""

    async def bearer(request: Request) -> dict | None:
        """The claims of the access token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return await provider.verify_jwt(token.strip(), "at+jwt") if scheme.lower() == "bearer" else None

    async def person(request: Request, claims: Annotated[dict | None, Depends(bearer)]) -> tuple[Row, dict]:
        """The active account behind the access token, and the token's claims."""
        if claims is not None:
            async with provider.engine.connect() as connection:
                account = await store.find_active_account(connection, claims["sub"])
            if account is not None:
                return account, claims
        challenge = 'Bearer error="invalid_token"' if "Authorization" in request.headers else "Bearer"
        raise HTTPException(401, "Send a valid access token of an active account.", {"WWW-Authenticate": challenge})

    async def admin(request: Request, claims: Annotated[dict | None, Depends(bearer)]) -> None:
        if claims is not None and claims["sub"] == model.machine_sub(model.SERVICE_CLIENT):
            return
        account, claims = await person(request, claims)
        if not account.admin or claims["aud"] != model.AUDIENCE:
            raise HTTPException(403, "Only an account with the admin flag may do this.")

    router = APIRouter()

    # Two routes, so that each has an id of its own in the API's document.
    @router.get("/userinfo", tags=["tokens"])
    @router.post("/userinfo", operation_id="userinfo_by_post", tags=["tokens"])
    async def userinfo(found: Annotated[tuple[Row, dict], Depends(person)]) -> dict[str, object]:
        """The claims about the account that the token's scope opens."""
        account, claims = found
        if "openid" not in claims["scope"].split():
            challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="openid"'}
            raise HTTPException(403, "The access token lacks the scope openid.", challenge)
        tenants = {name: claims[name] for name in ("tenant", "organization") if name in claims}
        return {"sub": account.sub, **tenants, **profile_claims(account, claims["scope"])}

    @router.post("/accounts", status_code=201, tags=["administration"], dependencies=[Depends(admin)])
    async def create_account(new: NewAccount) -> AccountCreated:
        """Create an account; 409 when the username is taken."""
        one_time = model.new_secret() if new.password is None else None
        values = {
            "sub": new.sub or str(new_id()),
            "username": new.username,
            "tenant": new.tenant,
            "display_name": new.display_name or new.username,
            "admin": new.admin,
            "listed": False,
            "password": await passwords.compute_hash(new.password) if new.password else None,
            "one_time": model.digest(one_time) if one_time else None,
        }
        async with provider.engine.begin() as connection:
            if not await store.add_account(connection, **values):
                raise HTTPException(409, f"The username {new.username} is taken.")
        return AccountCreated(**values, active=True, one_time_token=one_time)

    @router.put("/accounts/{username}", tags=["administration"], dependencies=[Depends(admin)])
    async def upsert_account(username: Username, spec: AccountSpec) -> AccountOut:
        """Create the account, or update the tenant's own and switch it on; 409 when it is another tenant's. A temporary
        password ends the account's sessions."""
        values: dict[str, object] = {"display_name": spec.display_name, "email": spec.email, "active": True}
        if spec.temporary_password is not None:
            hashed = await passwords.compute_hash(spec.temporary_password)
            values |= {"password": hashed, "temporary": True}
        async with provider.engine.begin() as connection:
            account = await store.upsert_account(connection, username, spec.tenant, str(new_id()), **values)
            if account is None:
                raise HTTPException(409, f"The username `{username}` is taken. Choose another.")
            ended = await store.end_sessions_of_account(connection, account.sub) if spec.temporary_password else []
        await notify_clients(provider, ended)
        return AccountOut.model_validate(account, from_attributes=True)

    @router.get("/accounts/{username}", tags=["administration"], dependencies=[Depends(admin)])
    async def get_account(username: Username) -> AccountOut:
        """An account, of whichever tenant."""
        async with provider.engine.connect() as connection:
            account = await store.find_account_by_name(connection, username)
        if account is None:
            raise HTTPException(404, f"There is no account `{username}`.")
        return AccountOut.model_validate(account, from_attributes=True)

    @router.put("/accounts/{username}/tenants/{tenant}", tags=["administration"], dependencies=[Depends(admin)])
    async def add_member(username: Username, tenant: TenantPath) -> AccountOut:
        """Let an account of another tenant sign in to this tenant too."""
        async with provider.engine.begin() as connection:
            account = await store.find_account_by_name(connection, username)
            if account is None:
                raise HTTPException(404, f"There is no account `{username}`.")
            await store.add_member(connection, account.sub, tenant)
        return AccountOut.model_validate(account, from_attributes=True)

    @router.delete(
        "/accounts/{username}/tenants/{tenant}",
        status_code=204,
        tags=["administration"],
        dependencies=[Depends(admin)],
    )
    async def remove_member(username: Username, tenant: TenantPath) -> None:
        """Remove that right, and end the account's sessions, so that the next sign-in has the remaining tenants."""
        async with provider.engine.begin() as connection:
            account = await store.find_account_by_name(connection, username)
            if account is None:
                raise HTTPException(404, f"There is no account `{username}`.")
            await store.remove_member(connection, account.sub, tenant)
            ended = await store.end_sessions_of_account(connection, account.sub)
        await notify_clients(provider, ended)

    @router.post("/accounts/{username}/active", tags=["administration"], dependencies=[Depends(admin)])
    async def set_account_active(username: Username, switch: Switch) -> AccountOut:
        """Switch an account off or on. Off ends its sessions and refresh tokens; its access tokens stay valid until they expire."""
        async with provider.engine.begin() as connection:
            account = await store.set_account_active(connection, username, active=switch.active, tenant=switch.tenant)
            if account is None:
                raise HTTPException(404, f"There is no account {username}.")
            ended = [] if switch.active else await store.end_sessions_of_account(connection, account.sub)
        await notify_clients(provider, ended)
        return AccountOut.model_validate(account, from_attributes=True)

    @router.post("/clients", status_code=201, tags=["administration"], dependencies=[Depends(admin)])
    async def create_client(new: NewClient) -> ClientCreated:
        """Register a client; 409 when the id is taken."""
        problems = model.find_client_problems(
            new.client_id, confidential=not new.public, tenant=new.tenant, grants=new.grants
        )
        if problems:
            raise HTTPException(422, "; ".join(problems))
        secret = None if new.public else model.new_secret()
        async with provider.engine.begin() as connection:
            added = await store.add_client(
                connection,
                client_id=new.client_id,
                secret=await passwords.compute_hash(secret) if secret else None,
                redirect_uris=new.redirect_uris,
                post_logout_redirect_uris=new.redirect_uris,
                tenant=new.tenant,
                grants=new.grants,
                backchannel_logout_uri=new.backchannel_logout_uri,
            )
        if not added:
            raise HTTPException(409, f"The client {new.client_id} is already registered.")
        return ClientCreated(client_id=new.client_id, client_secret=secret)

    @router.put("/clients/{client_id}", tags=["administration"], dependencies=[Depends(admin)])
    async def upsert_client(client_id: ClientPath, spec: ClientSpec) -> ClientOut:
        """Register a client of the tenant, or change its registration; 409 when it is another tenant's."""
        secret = None if spec.public else spec.secret
        problems = model.find_client_problems(
            client_id, confidential=not spec.public, tenant=spec.tenant, grants=spec.grants
        )
        values = spec.model_dump(exclude={"tenant", "public", "secret"})
        if secret is not None or spec.public:
            values["secret"] = await passwords.compute_hash(secret) if secret else None
        async with provider.engine.begin() as connection:
            known = await store.find_client(connection, client_id)
            if "secret" not in values and (known is None or known.secret is None):
                problems.append("it needs a secret; ask for a new one")
            if problems:
                raise HTTPException(422, "; ".join(problems))
            if not await store.upsert_tenant_client(connection, client_id, spec.tenant, **values):
                raise HTTPException(409, f"The client id `{client_id}` is taken.")
        return ClientOut(client_id=client_id, sub=model.machine_sub(client_id))

    @router.delete("/clients/{client_id}", status_code=204, tags=["administration"], dependencies=[Depends(admin)])
    async def remove_client(client_id: ClientPath, tenant: Annotated[str, Query(pattern=model.TENANT)]) -> None:
        """Delete a client of the tenant, with its codes and refresh tokens."""
        async with provider.engine.begin() as connection:
            if not await store.remove_client(connection, client_id, tenant):
                raise HTTPException(404, f"{tenant} has no client {client_id}.")

    return router
