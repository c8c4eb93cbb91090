"""Accounts and clients over HTTP, for accounts with the admin flag, and what a person may read of the own account."""

import asyncio
from typing import Annotated

from contracts.ids import new_id
from fastapi import APIRouter, Depends, HTTPException, Path, Request
from pydantic import BaseModel, Field
from sqlalchemy import Row

from all_in_one.oidc import model, store
from all_in_one.oidc.logout import tell
from all_in_one.oidc.provider import Provider, profile


class NewAccount(BaseModel):
    """Without a password the answer holds a one-time token instead. `sub`: by what the directory will know the login;
    a new id where it is not given."""

    username: Annotated[str, Field(pattern=model.USERNAME)]
    tenant: Annotated[str, Field(pattern=model.TENANT)]
    password: Annotated[str, Field(min_length=model.MIN_PASSWORD, max_length=1000)] | None = None
    display_name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")] | None = None
    sub: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")] | None = None
    admin: bool = False


class AccountOut(BaseModel):
    sub: str
    username: str
    tenant: str
    display_name: str
    active: bool
    admin: bool


class AccountCreated(AccountOut):
    one_time_token: str | None = None


class Switch(BaseModel):
    active: bool


class NewClient(BaseModel):
    """A public client has no secret and must use PKCE."""

    client_id: Annotated[str, Field(pattern=model.CLIENT_ID)]
    public: bool = False
    redirect_uris: list[Annotated[str, Field(pattern=r"^https?://[^\s#\x00]+$")]] = []
    tenant: Annotated[str, Field(pattern=model.TENANT)] | None = None
    grants: Annotated[list[str], Field(min_length=1)]
    backchannel_logout_uri: Annotated[str, Field(pattern=r"^https?://[^\s#\x00]+$")] | None = None


class ClientCreated(BaseModel):
    """`client_secret` is shown this once; the provider keeps its hash only."""

    client_id: str
    client_secret: str | None


def admin_endpoints(provider: Provider) -> APIRouter:
    async def person(request: Request) -> tuple[Row, dict]:
        """The active account behind the access token, and the token's claims."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        claims = None
        if scheme.lower() == "bearer":
            claims = await provider.read(token.strip(), "at+jwt", audience=model.AUDIENCE)
        if claims is not None:
            async with provider.engine.connect() as connection:
                account = await store.active_account(connection, claims["sub"])
            if account is not None:
                return account, claims
        challenge = 'Bearer error="invalid_token"' if scheme else "Bearer"
        raise HTTPException(401, "Send a valid access token of an active account.", {"WWW-Authenticate": challenge})

    async def admin(found: Annotated[tuple[Row, dict], Depends(person)]) -> None:
        if not found[0].admin:
            raise HTTPException(403, "Only an account with the admin flag may do this.")

    router = APIRouter()

    @router.api_route("/userinfo", methods=["GET", "POST"], tags=["tokens"])
    async def userinfo(found: Annotated[tuple[Row, dict], Depends(person)]) -> dict[str, str]:
        """The claims about the account that the token's scope opens."""
        account, claims = found
        if "openid" not in claims["scope"].split():
            challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="openid"'}
            raise HTTPException(403, "The access token lacks the scope openid.", challenge)
        return {"sub": account.sub, **profile(account, claims["scope"])}

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
            "password": await asyncio.to_thread(model.hash_password, new.password) if new.password else None,
            "one_time": model.digest(one_time) if one_time else None,
        }
        async with provider.engine.begin() as connection:
            if not await store.add_account(connection, **values):
                raise HTTPException(409, f"The username {new.username} is taken.")
        return AccountCreated(**values, active=True, one_time_token=one_time)

    @router.post("/accounts/{username}/active", tags=["administration"], dependencies=[Depends(admin)])
    async def switch_account(username: Annotated[str, Path(pattern=model.USERNAME)], switch: Switch) -> AccountOut:
        """Switch an account off or on. Off ends its sessions and refresh tokens; its access tokens run out by themselves."""
        async with provider.engine.begin() as connection:
            account = await store.change_account(connection, username, active=switch.active)
            if account is None:
                raise HTTPException(404, f"There is no account {username}.")
            ended = [] if switch.active else await store.end_all_of(connection, account.sub)
        await tell(provider, ended)
        return AccountOut.model_validate(account, from_attributes=True)

    @router.post("/clients", status_code=201, tags=["administration"], dependencies=[Depends(admin)])
    async def create_client(new: NewClient) -> ClientCreated:
        """Register a client; 409 when the id is taken."""
        faults = model.client_faults(new.client_id, confidential=not new.public, tenant=new.tenant, grants=new.grants)
        if faults:
            raise HTTPException(422, "; ".join(faults))
        secret = None if new.public else model.new_secret()
        async with provider.engine.begin() as connection:
            added = await store.add_client(
                connection,
                client_id=new.client_id,
                secret=await asyncio.to_thread(model.hash_password, secret) if secret else None,
                redirect_uris=new.redirect_uris,
                post_logout_redirect_uris=new.redirect_uris,
                tenant=new.tenant,
                grants=new.grants,
                backchannel_logout_uri=new.backchannel_logout_uri,
            )
        if not added:
            raise HTTPException(409, f"The client {new.client_id} is already registered.")
        return ClientCreated(client_id=new.client_id, client_secret=secret)

    return router
