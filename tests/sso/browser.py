"""A browser without a screen: cookies, redirects, and the forms of sign-in pages."""

import re
import ssl
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class Form:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict[str, str])


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        elif tag == "input" and self.found and given.get("name") and given.get("type") not in ("checkbox", "submit"):
            self.found[-1].fields[given["name"]] = given.get("value", "")


def forms_of(page: httpx.Response) -> list[Form]:
    parser = _Forms()
    parser.feed(page.text)
    return parser.found


def words(page: httpx.Response) -> str:
    """The end of a page without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())[-600:]


class Browser:
    """Goes where it is sent, until an address begins with `until`; that one is not opened. Passwords are typed when a
    page asks; every typing is counted, and so is every proof that an account is one's own too (`linked`)."""

    def __init__(self) -> None:
        self.http = httpx.Client(timeout=30, verify=PLAIN, event_hooks={"response": [self._trust_this_machine]})
        self.typed = 0
        self.linked = 0

    def _trust_this_machine(self, _: httpx.Response) -> None:
        """As browsers do, it takes the own machine for safe without encryption."""
        for cookie in self.http.cookies.jar:
            cookie.secure = False

    def close(self) -> None:
        self.http.close()

    def open(
        self,
        url: str,
        *,
        until: str,
        username: str = "",
        password: str = "",
        new_password: str = "",
        link_password: str = "",
    ) -> str:
        """The address, with its query, where it arrives. `link_password` links an account here to that of another
        provider. A page that asks for a password and has none, and one that asks nothing, is an AssertionError."""
        page = self._follow(self.http.get(url), until)
        for _ in range(6):
            if isinstance(page, str):
                return page
            form = next(iter(forms_of(page)), None)
            assert form is not None, f"{page.status_code} {page.url.path}: {words(page)}"
            names = form.fields.keys()
            if page.url.path.endswith("/first-broker-login"):
                assert link_password, f"an account is to be linked at {page.url}"
                self.linked += "password" in names
                given = {"password": link_password} if "password" in names else {"submitAction": "linkAccount"}
            elif "password-new" in names:
                given = {"password-new": new_password, "password-confirm": new_password}
            elif "password" in names:
                assert password, f"a password is asked for at {page.url}"
                self.typed += 1
                given = {"username": username, "password": password}
            else:  # who one is may be asked first, on a page of its own
                assert username, f"a password is asked for at {page.url}"
                given = {"username": username} if "username" in names else {}
            page = self.submit(page, form, given, until)
        raise AssertionError(f"no way through the pages at {url}")

    def submit(self, page: httpx.Response, form: Form, given: dict[str, str], until: str) -> "httpx.Response | str":
        action = urljoin(str(page.url), form.action)
        return self._follow(self.http.request(form.method, action, data={**form.fields, **given}), until)

    def _follow(self, page: httpx.Response, until: str) -> "httpx.Response | str":
        for _ in range(15):
            if not page.is_redirect:
                return page
            target = urljoin(str(page.url), page.headers["location"])
            if target.startswith(until):
                return target
            page = self.http.get(target)
        raise AssertionError(f"redirected without end, last to {page.url}")
