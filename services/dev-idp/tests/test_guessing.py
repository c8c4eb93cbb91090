"""Guessing passwords and secrets: each failure makes the guesser wait longer, and nobody else for long."""

import asyncio
import time

import httpx
import pytest
from dev_idp import model, passwords
from fastapi import FastAPI


@pytest.fixture
async def stranger(app: FastAPI, browser):
    """The same provider from another address."""
    async with type(browser)(app) as client:
        client._transport = httpx.ASGITransport(app, client=("127.9.9.9", 4711))
        yield client


async def guesses(browser, clock, *, count: int, **who: str) -> list[httpx.Response]:
    """One after the other, twenty a second."""
    answers = []
    for number in range(count):
        clock.pass_by(milliseconds=50)
        answers.append(await browser.password(password=f"guess-{number}", **who))
    return answers


async def test_a_hundred_wrong_passwords_are_mostly_not_looked_at(browser, clock):
    answers = await guesses(browser, clock, count=100)
    looked_at = [answer for answer in answers if answer.status_code == 400]
    assert len(looked_at) <= 8
    turned_away = answers[-1]
    assert turned_away.status_code == 429
    assert turned_away.json()["error"] == "temporarily_unavailable"
    seconds = int(turned_away.headers["retry-after"])
    assert 1 <= seconds <= 10
    assert (await browser.password()).status_code == 429, "the right one is not looked at either"
    clock.pass_by(seconds=seconds)
    assert (await browser.password()).status_code == 200
    assert (await browser.password(password="typing error")).status_code == 400, "and all is forgotten"
    assert (await browser.password()).status_code == 200


async def test_the_wait_doubles_and_has_an_end(browser, clock):
    waits = []
    for _ in range(16):
        answer = await browser.password(password="guess")
        if answer.status_code == 429:
            waits.append(int(answer.headers["retry-after"]))
            clock.pass_by(seconds=waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32][: len(waits)]
    for _ in range(20):
        answer = await browser.password(password="guess")
        if answer.status_code == 429:
            waits.append(int(answer.headers["retry-after"]))
            clock.pass_by(seconds=waits[-1])
    assert max(waits) == 300
    clock.pass_by(minutes=16)
    assert [(await browser.password(password="x")).status_code for _ in range(4)] == [400] * 4


async def test_a_stranger_does_not_keep_a_person_out(browser, stranger, clock):
    await browser.log_in()
    browser.cookies.delete("uplift_oidc_session")
    for _ in range(200):
        clock.pass_by(seconds=1)
        await stranger.password(password="guess")
    # In a browser that knows them they get in at once; elsewhere within seconds.
    await browser.log_in()
    answer = await browser.password()
    if answer.status_code == 429:
        clock.pass_by(seconds=min(30, int(answer.headers["retry-after"])))
        answer = await browser.password()
    assert answer.status_code == 200


async def test_a_device_cookie_is_good_for_its_person_only_and_not_without_end(browser, stranger, clock):
    await browser.log_in("admin", "admin-secret")
    stranger.cookies.set("uplift_oidc_device", browser.cookies["uplift_oidc_device"], path="/oidc")
    answers = await guesses(stranger, clock, count=10)
    assert answers[-1].status_code == 429
    mine = await guesses(browser, clock, count=10, username="admin")
    assert mine[-1].status_code == 429


async def test_an_address_that_tries_one_password_on_many_accounts_waits(browser, stranger):
    answers = [await stranger.password(username=f"person-{number}") for number in range(40)]
    assert [answer.status_code for answer in answers[:29]] == [400] * 29
    assert answers[-1].status_code == 429
    assert (await stranger.password()).status_code == 429
    assert (await browser.password()).status_code == 200, "from elsewhere"


async def test_the_form_says_how_long(browser, clock):
    page = await browser.authorize()
    for _ in range(6):
        await browser.submit(page, username="lead", password="guess")
    answer = await browser.submit(page, username="lead", password="guess")
    assert answer.status_code == 429
    assert "Too many failed attempts. Try again in 1 s." in answer.text
    assert answer.headers["retry-after"] == "1"
    clock.pass_by(seconds=1)
    assert (await browser.submit(page, username="lead", password="lead-secret")).status_code == 303


async def test_client_secrets_and_one_time_tokens_are_guessed_no_faster(browser, clock):
    assert (await browser.token("client_credentials", auth=("switch", "switch-secret"))).status_code == 200
    answers = [await browser.token("client_credentials", auth=("switch", f"guess-{n}")) for n in range(20)]
    assert (answers[0].status_code, answers[-1].status_code) == (401, 429)
    right = await browser.token("client_credentials", auth=("switch", "switch-secret"))
    assert right.status_code == 200, "a secret that was right before is not kept out by guesses"
    clock.pass_by(minutes=20)
    guess = {"client_id": "uplift-cli", "one_time_token": "made-up"}
    tried = [await browser.token(model.ONE_TIME, **guess) for _ in range(20)]
    assert (tried[0].status_code, tried[-1].status_code) == (400, 429)
    revoked = [await browser.post("/oidc/revoke", data={"token": "x"}, auth=("wallboard", "no")) for _ in range(20)]
    assert revoked[-1].status_code == 429


async def test_whether_there_is_an_account_does_not_show(browser, stranger, clock):
    seen = []
    for name in ("lead", "nobody"):
        clock.pass_by(minutes=20)
        answers = await guesses(stranger, clock, count=12, username=name)
        seen.append([(answer.status_code, answer.json(), answer.headers.get("retry-after")) for answer in answers])
    of_lead, of_nobody = seen
    assert of_lead == of_nobody


async def test_hashing_holds_neither_the_loop_nor_everybody_and_is_bounded():
    longest, began = 0.0, time.perf_counter()
    flood = [asyncio.create_task(passwords.verify("guess", None)) for _ in range(100)]
    while not all(each.done() for each in flood):
        before = time.perf_counter()
        await asyncio.sleep(0.005)  # sleep: how long the loop is held is measured
        longest = max(longest, time.perf_counter() - before)
    results = await asyncio.gather(*flood, return_exceptions=True)
    busy = [each for each in results if isinstance(each, passwords.Busy)]
    assert len(busy) == 100 - passwords._MOST_WAITING
    assert longest < (time.perf_counter() - began) / 2, "others had their turn meanwhile"
    assert not await passwords.verify("x" * 2_000_000, None)
