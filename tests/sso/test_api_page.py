"""The page on which the API is browsed: one signs in there and tries an operation."""

import pytest
from all_in_one.front_page import front_page
from all_in_one.suite import SERVICES

from tests.sso.environments import PASSWORD, SsoEnvironment


def test_swagger_signs_a_person_in_and_asks_as_them(world: SsoEnvironment) -> None:
    from playwright.sync_api import expect, sync_playwright

    options = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        page = chromium.new_page()
        page.set_default_timeout(60_000)
        refused: list[str] = []
        page.on("console", lambda said: refused.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(f"{world.url}/api/identity/v1/docs")
        page.locator("button.authorize").first.click()
        for scope in ("openid", "profile", "organization"):
            page.locator(f"input[id^='{scope}-']").first.set_checked(True, force=True)
        with page.expect_popup() as opened:
            page.locator(".auth-container").first.get_by_role("button", name="Apply given OAuth2 credentials").click()
        login = opened.value
        login.locator("#username").fill("ada")
        if not login.locator("#password").is_visible():
            login.locator("#username").press("Enter")  # Keycloak asks who it is first, and then for the password
        login.locator("#password").fill(PASSWORD)
        login.locator("#password").press("Enter")
        expect(page.locator(".auth-container").first.get_by_role("button", name="Remove authorization")).to_be_visible()
        page.locator("button.btn-done").first.click()
        page.locator("#operations-me-get_me").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
        chromium.close()
    assert refused == []


@pytest.mark.parametrize("demo", [True, False])
def test_the_front_page_fits_a_telephone(demo: bool) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 320, "height": 640})
        page.set_content(front_page(SERVICES, url="http://127.0.0.1:65535", uplift=".venv/bin/uplift", demo=demo))
        width = page.evaluate("document.documentElement.scrollWidth")
        chromium.close()
    assert width <= 320
