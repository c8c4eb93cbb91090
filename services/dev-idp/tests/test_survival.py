"""What a restart and a `kill -9` of PostgreSQL leave standing, and what the database never holds in clear."""

import asyncio

import dev_idp
from dev_idp import store
from sqlalchemy import delete, select


async def test_tokens_session_and_key_survive_killing_the_database(browser, engine, oidc_postgres, app, clock):
    tokens = await browser.tokens()
    keys = (await browser.get("/oidc/jwks")).json()

    oidc_postgres.kill()
    await engine.dispose()
    oidc_postgres.start()
    await dev_idp.ensure_seed_rows(engine)
    app.router.routes.clear()
    app.mount("/oidc", dev_idp.create_provider(engine, "http://127.0.0.1:8080/oidc", clock=clock, demo=True))

    assert (await browser.get("/oidc/jwks")).json() == keys
    bearing = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await browser.get("/oidc/userinfo", headers=bearing)).json()["sub"] == "lead-1"
    assert (await browser.authorize(prompt="none")).headers["location"].count("code=") == 1
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 200


async def test_two_starts_at_once_make_one_key(engine):
    async with engine.begin() as connection:
        await connection.execute(delete(store.signing_key))
    await asyncio.gather(*(dev_idp.ensure_seed_rows(engine) for _ in range(3)))
    await dev_idp.ensure_seed_rows(engine)
    async with engine.connect() as connection:
        assert len(await store.load_signing_keys(connection)) == 1
        client = await store.find_client(connection, "uplift-cli")
        assert client is not None
        assert client.secret is None


async def test_no_secret_is_stored_in_clear(browser, engine):
    tokens = await browser.tokens()
    code = (await browser.log_in(prompt="login"))["code"]
    secrets = [tokens["refresh_token"], code, browser.cookies["uplift_oidc_session"], "lead-secret", "wall-secret"]
    secrets.append(await dev_idp.issue_one_time(engine, "first"))
    await browser.password(password="guessed-secret")
    secrets.append("guessed-secret")
    async with engine.begin() as connection:
        await store.add_member(connection, "lead-1", "acme")
    async with engine.connect() as connection:
        stored = ""
        for table in store.metadata.sorted_tables:
            rows = (await connection.execute(select(table))).all()
            assert rows, table.name
            stored += repr(rows)
    assert [secret for secret in secrets if secret in stored] == []


async def test_what_expired_is_purged(browser, engine, clock):
    await browser.tokens()
    clock.pass_by(hours=9)
    await browser.password()
    async with engine.connect() as connection:
        for table, rest in ((store.login_session, 0), (store.authorization_code, 0), (store.refresh_token, 1)):
            assert len((await connection.execute(select(table))).all()) == rest, table.name
