"""The pages for people: sign in, sign out, refusal. Plain HTML without scripts; every value is escaped."""

from collections.abc import Sequence
from html import escape

from fastapi.responses import HTMLResponse
from sqlalchemy import Row

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 24rem; margin: 10vh auto; padding: 0 1rem }
label, input, button { display: block; width: 100%; box-sizing: border-box; font: inherit }
label { margin-top: 1rem }
input, button { padding: .6rem; border: 1px solid; border-radius: .3rem }
button { margin-top: 1.5rem; cursor: pointer; font-weight: 600 }
.error { border-left: .3rem solid #c00; padding-left: .7rem }
"""

_HEADERS = {
    # No form-action: browsers apply it also to the redirect that follows the form, which goes to the client.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    # Not no-referrer: the browser would then send `Origin: null` with the form.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def login_page(query: str, seal: str, listed: Sequence[Row], username: str = "", error: str = "") -> HTMLResponse:
    """The sign-in form. `query` is the authorization request that it continues; `seal` proves that this provider rendered it."""
    people = "".join(f"<li><code>{escape(row.username)}</code> {escape(row.display_name)}</li>" for row in listed)
    body = f"""<form method="post" action="login?{escape(query)}">
<input type="hidden" name="seal" value="{escape(seal)}">
<label for="username">Username</label>
<input id="username" name="username" value="{escape(username)}" autocomplete="username" autocapitalize="none"
 spellcheck="false" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>"""
    if people:
        body += f'<section aria-labelledby="people"><h2 id="people">Demo users</h2><ul>{people}</ul></section>'
    return _page("Sign in to Uplift", body, error=error, status=400 if error else 200)


def password_page(query: str, seal: str, error: str = "") -> HTMLResponse:
    """Asks for a new password in place of a temporary one; `seal` names the account."""
    body = f"""<p>Your password was temporary. Choose one that only you know.</p>
<form method="post" action="new-password?{escape(query)}">
<input type="hidden" name="seal" value="{escape(seal)}">
<label for="password-new">New password</label>
<input id="password-new" name="password-new" type="password" autocomplete="new-password" required autofocus>
<label for="password-confirm">The same again</label>
<input id="password-confirm" name="password-confirm" type="password" autocomplete="new-password" required>
<button>Go on</button>
</form>"""
    return _page("Choose a password", body, error=error, status=400 if error else 200)


def logout_page(query: str, seal: str) -> HTMLResponse:
    """Asks for confirmation before signing out, because any site can link to the logout address."""
    body = f"""<p>Do you want to sign out of Uplift and of everything you opened with it?</p>
<form method="post" action="logout?{escape(query)}">
<input type="hidden" name="seal" value="{escape(seal)}">
<button>Sign out</button>
</form>"""
    return _page("Sign out", body)


def signed_out_page() -> HTMLResponse:
    """Confirms that the session has ended."""
    return _page("Signed out", "<p>You are signed out. You may close this window.</p>")


def refusal_page(error: str, *, status: int = 400) -> HTMLResponse:
    """An error that must not redirect to the client, because the client is not verified or the person may not use it."""
    return _page("This request was refused", "", error=error, status=status)


def _page(title: str, body: str, *, error: str = "", status: int = 200) -> HTMLResponse:
    alert = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
    html = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head>
<body><main><h1>{escape(title)}</h1>{alert}{body}</main></body></html>"""
    return HTMLResponse(html, status_code=status, headers=_HEADERS)
